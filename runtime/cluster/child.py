"""One process that the supervisor keeps: what it should be, how it stands, when it may start again.

Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from runtime.cluster.parentage import die_with_parent, start_ticks

RESTART_DELAY_S_MIN: Final = 0.05
RESTART_DELAY_S_MAX: Final = 5.0
RAN_WELL_S: Final = 10.0  # a child that ran this long starts its back-off anew
OUTPUT_BYTES_MAX: Final = 4 * 1024 * 1024
REASON_CHARACTERS_MAX: Final = 300


class ChildState(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"  # it ended and starts again after its back-off
    STOPPING = "stopping"
    STOPPED = "stopped"


class ChildSpec(NamedTuple):
    """`restart` False: it runs once. `note` is kept for who asked, unread. A tuple, since `dataclasses` would cost the
    supervisor 1.5 MB."""

    id: str
    kind: str  # store, control, gateway, zygote, worker
    argv: tuple[str, ...]
    restart: bool = True
    environment: tuple[tuple[str, str], ...] = ()
    grace_s: float = 5.0  # between SIGTERM and SIGKILL
    note: str = ""


class Child:
    """`pid` is 0 while no process runs. `adopted` ones were started by somebody else and never restart here."""

    def __init__(
        self,
        spec: ChildSpec,
        *,
        state: ChildState = ChildState.STOPPED,
        pid: int = 0,
        start_ticks: int = 0,
        adopted: bool = False,
    ) -> None:
        self.spec = spec
        self.state = state
        self.pid = pid
        self.start_ticks = start_ticks
        self.adopted = adopted
        self.restarts = 0
        self.failures = 0
        self.started_at_s = 0.0
        self.due_at_s = 0.0  # next start, or the SIGKILL of one that does not stop
        self.last_exit = ""
        self.last_status: int | None = None  # exit code, or minus the signal; None if unknown
        self.again = False  # start at once when it has stopped
        self.waiters: list[int] = []  # connections that wait for its end

    def describe(self) -> dict[str, object]:
        """As `list` answers it."""
        return {
            "id": self.spec.id,
            "kind": self.spec.kind,
            "pid": self.pid,
            "start_ticks": self.start_ticks,
            "state": str(self.state),
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "last_status": self.last_status,
            "adopted": self.adopted,
            "note": self.spec.note,
        }


def restart_delay_s(failures: int) -> float:
    """Doubles with each failure in a row, from `RESTART_DELAY_S_MIN` to `RESTART_DELAY_S_MAX`."""
    return min(RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN * 2.0 ** min(failures - 1, 16))


def module_argv(module: str, *arguments: str) -> tuple[str, ...]:
    """Runs a module of ours with this interpreter; `-P` keeps the working directory out of `sys.path`."""
    return (sys.executable, "-P", "-m", module, *arguments)


def launch(spec: ChildSpec, output: Path) -> tuple[int, int]:
    """Starts the process in a session of its own and returns (pid, start ticks). It dies when this process dies."""
    supervisor = os.getpid()
    descriptor = os.open(_rotated(output), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    environment = {**os.environ, **dict(spec.environment)}
    try:
        pid = os.fork()
        if pid == 0:
            _become(spec, descriptor, supervisor, environment)
    finally:
        os.close(descriptor)
    return pid, start_ticks(pid)


def _become(spec: ChildSpec, output: int, supervisor: int, environment: dict[str, str]) -> None:
    """Runs between fork and exec; never returns."""
    try:
        os.setsid()  # Ctrl-C in a terminal reaches the supervisor alone
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(signum, signal.SIG_DFL)
        die_with_parent(supervisor)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.execve(spec.argv[0], spec.argv, environment)  # noqa: S606  our own argv, never a shell
    except BaseException as error:  # outermost frame of the new process: nothing may run on as a second supervisor
        os.write(2, f"{spec.argv[0]} could not be started: {error!r}\n".encode())
    finally:
        os._exit(127)


def _rotated(output: Path) -> Path:
    if output.exists() and output.stat().st_size > OUTPUT_BYTES_MAX:
        output.rename(output.with_suffix(".out.1"))
    return output


def exit_reason(status: int, output: Path) -> str:
    """A sentence: how it ended and the last line it printed, which for Python is the exception."""
    how = f"killed by {_signal_name(-status)}" if status < 0 else f"exited with status {status}"
    last = _last_line(output) if status > 0 else ""
    return f"{how}: {last}" if last else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(output: Path) -> str:
    try:
        with output.open("rb") as file:
            file.seek(max(0, output.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:REASON_CHARACTERS_MAX] if lines else ""


def cut_outputs(paths: Iterable[Path]) -> None:
    """Begins files anew that have become too large, and keeps what they held beside them, once. Whoever writes holds
    them open for appending, and so goes on."""
    for path in paths:
        if path.stat().st_size > OUTPUT_BYTES_MAX:
            path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)
