"""The supervisor of a node: starts its processes, restarts them, ends them. Standard library only, no threads.

Run as `python -P -m runtime.cluster.supervisor --data DIR`. Children die with it by the kernel's hand
(see `parentage`), so even SIGKILL of the supervisor leaves no process behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runtime.clock import SystemClock
from runtime.cluster.child import (
    RAN_WELL_S,
    Child,
    ChildSpec,
    ChildState,
    cut_outputs,
    exit_reason,
    launch,
    module_argv,
    restart_delay_s,
)
from runtime.cluster.layout import NodeLayout
from runtime.cluster.parentage import become_subreaper, descendants, is_alive
from runtime.cluster.supervisor_requests import Refused, answer
from runtime.cluster.supervisor_socket import SupervisorSocket
from runtime.cluster.words import words_told

# Control first, so that it does not repair what is being stopped; the gateway while its workers can still finish
# calls; the store last, for whoever writes a final word.
STOP_ORDER: Final = ("control", "gateway", "", "store")
STAGE_LIMIT_S: Final = {"control": 5.0, "gateway": 10.0, "": 6.0, "store": 5.0}
HURRIED_STAGE_LIMIT_S: Final = 1.0  # the lifeline closed: whoever wanted this node is gone
OUTPUT_CHECK_S: Final = 60.0


class CannotRun(Exception):
    """The supervisor does not start; the sentence says why and what to do."""


class Supervisor:
    """One selector loop over signals, the lifeline, its socket and its children."""

    def __init__(self, layout: NodeLayout, specs: Sequence[ChildSpec], *, lifeline: int | None = None) -> None:
        self.layout = layout
        self.children: dict[str, Child] = {spec.id: Child(spec=spec) for spec in specs}
        self._selector = selectors.DefaultSelector()
        self._lifeline = lifeline
        self._stages: list[str] | None = None  # not None: shutting down
        self._stage_limit_s: float | None = None
        self._stage_ends_at_s = 0.0
        self._output_checked_at_s = 0.0
        self._clock = SystemClock()
        self._log = (layout.logs / "supervisor.log").open("a", buffering=1)
        self.socket = SupervisorSocket(
            layout.socket("supervisor"), self._selector, lambda number, request: answer(self, number, request)
        )
        self._wake_read, self._wake_write = socket.socketpair()

    def run(self) -> None:
        """Returns when every child has ended."""
        self._listen_to_signals()
        if self._lifeline is not None:
            os.set_inheritable(self._lifeline, False)
            self._selector.register(self._lifeline, selectors.EVENT_READ, lambda _: self._lifeline_ready())
        self.log("supervisor_started", pid=os.getpid())
        for child in self.children.values():
            self.start(child)
        while not self._finished():
            for key, events in self._selector.select(self._wait_s()):
                key.data(events)
            self._reap()
            self._act(time.monotonic())
        self._sweep()
        self.log("supervisor_stopped")
        self.socket.close()

    # What requests may do.

    def start(self, child: Child) -> None:
        """Starts its process now."""
        child.pid, child.start_ticks = launch(child.spec, self.output(child.spec.id))
        child.state, child.started_at_s, child.again = ChildState.RUNNING, time.monotonic(), False
        self.log("child_started", id=child.spec.id, pid=child.pid)
        self.publish("started", child)

    def stop(self, child: Child, *, grace_s: float | None = None, again: bool = False) -> None:
        """SIGTERM now, SIGKILL after the grace. `again` starts it anew at once."""
        child.again = again
        if child.pid == 0:
            child.state = ChildState.STOPPED
            if again:
                self.start(child)
            return
        child.state = ChildState.STOPPING
        child.due_at_s = time.monotonic() + (child.spec.grace_s if grace_s is None else grace_s)
        self._kill(child, signal.SIGTERM)

    def adopt(self, spec: ChildSpec, pid: int, ticks: int) -> Child:
        """Watches a descendant that somebody else started. Raises Refused if it is none, or not that one any more."""
        if not is_alive(pid, ticks) or pid not in descendants(os.getpid()):
            raise Refused(f"process {pid} started at {ticks} does not run below this supervisor")
        descriptor = os.pidfd_open(pid)
        child = Child(spec=spec, state=ChildState.RUNNING, pid=pid, start_ticks=ticks, adopted=True)
        child.started_at_s = time.monotonic()
        self.children[spec.id] = child

        def ended(_events: int) -> None:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            self._reap()
            if child.pid == pid and not is_alive(pid, ticks):  # its parent, a zygote, took the status
                self._ended(child, None)

        self._selector.register(descriptor, selectors.EVENT_READ, ended)
        return child

    def shut_down(self, *, stage_limit_s: float | None = None) -> None:
        """Ends all children, stage by stage. A second call hurries."""
        if self._stages is not None:
            self._stage_ends_at_s = self._stage_limit_s = 0.0
            return
        self.log("shutdown_began")
        self._stages = list(STOP_ORDER)
        self._stage_limit_s = stage_limit_s
        self._begin_stage()

    def output(self, child_id: str) -> Path:
        """Where a child's stdout and stderr go."""
        return self.layout.logs / f"{child_id}.out"

    def publish(self, event: str, child: Child, **fields: object) -> None:
        self.socket.publish({"event": event, "id": child.spec.id, "kind": child.spec.kind, "pid": child.pid, **fields})

    def log(self, event: str, **fields: object) -> None:
        """One JSON line; `at` is milliseconds since 1970."""
        self._log.write(json.dumps({"at": self._clock.unix_ms(), "event": event, **fields}) + "\n")

    # Signals and ends.

    def _listen_to_signals(self) -> None:
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            if not (signum == signal.SIGHUP and signal.getsignal(signum) == signal.SIG_IGN):  # started under nohup
                signal.signal(signum, lambda _signum, _frame: None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, lambda _: self._woken())

    def _woken(self) -> None:
        received = self._wake_read.recv(4096)
        if any(number in received for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)):
            self.shut_down()

    def _lifeline_ready(self) -> None:
        assert self._lifeline is not None
        if os.read(self._lifeline, 4096) == b"":
            self._selector.unregister(self._lifeline)
            self.log("lifeline_closed")
            self.shut_down(stage_limit_s=HURRIED_STAGE_LIMIT_S)

    def _reap(self) -> None:
        while True:
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            status = os.waitstatus_to_exitcode(raw)
            child = next((child for child in self.children.values() if child.pid == pid), None)
            if child is not None:
                self._ended(child, status)
            else:
                reason = exit_reason(status, Path(os.devnull))
                self.log("orphan_ended", pid=pid, reason=reason)
                self.socket.publish(
                    {"event": "exit", "id": "", "kind": "orphan", "pid": pid, "status": status, "reason": reason}
                )

    def _ended(self, child: Child, status: int | None) -> None:
        reason = "ended" if status is None else exit_reason(status, self.output(child.spec.id))
        now_s = time.monotonic()
        child.last_exit, child.last_status = reason, status
        self.log("child_ended", id=child.spec.id, pid=child.pid, reason=reason, wanted=child.state != "running")
        self.publish("exit", child, status=status, reason=reason)
        child.pid, child.start_ticks = 0, 0
        for number in child.waiters:
            self.socket.send(number, {"ok": True, "child": child.describe()})
        child.waiters.clear()
        if child.state is ChildState.STOPPING or self._stages is not None or child.adopted or not child.spec.restart:
            child.state = ChildState.STOPPED
            if child.again and self._stages is None:
                child.restarts += 1
                self.start(child)
            return
        child.failures = 1 if now_s - child.started_at_s >= RAN_WELL_S else child.failures + 1
        child.state, child.due_at_s = ChildState.WAITING, now_s + restart_delay_s(child.failures)

    # What is due.

    def _act(self, now_s: float) -> None:
        for child in list(self.children.values()):
            if child.state is ChildState.WAITING and now_s >= child.due_at_s and self._stages is None:
                child.restarts += 1
                self.start(child)
            elif child.state is ChildState.STOPPING and child.pid and now_s >= child.due_at_s:
                self._kill(child, signal.SIGKILL)
                child.due_at_s = now_s + 1.0
        while self._stages and (now_s >= self._stage_ends_at_s or not self._stage_members()):
            self._end_stage()
        if now_s - self._output_checked_at_s >= OUTPUT_CHECK_S:
            self._output_checked_at_s = now_s
            cut_outputs((*self.layout.logs.glob("*.out"), self.layout.logs / "supervisor.log"))

    def _wait_s(self) -> float:
        now_s = time.monotonic()
        due = [
            child.due_at_s
            for child in self.children.values()
            if child.state is ChildState.WAITING or (child.state is ChildState.STOPPING and child.pid)
        ]
        if self._stages is not None:
            due.append(self._stage_ends_at_s)
        return max(0.0, min([*due, now_s + OUTPUT_CHECK_S]) - now_s)

    # Shutting down.

    def _stage_members(self) -> list[Child]:
        stage = self._stages[0] if self._stages else ""
        named = [name for name in STOP_ORDER if name]
        return [
            child
            for child in self.children.values()
            if child.pid and (child.spec.kind == stage if stage else child.spec.kind not in named)
        ]

    def _begin_stage(self) -> None:
        assert self._stages
        limit_s = STAGE_LIMIT_S[self._stages[0]] if self._stage_limit_s is None else self._stage_limit_s
        self._stage_ends_at_s = time.monotonic() + limit_s
        for child in self._stage_members():
            self.stop(child, grace_s=limit_s)
        for child in self.children.values():
            if child.state is ChildState.WAITING:
                child.state = ChildState.STOPPED

    def _end_stage(self) -> None:
        """Whoever of the stage still runs is killed; its end is awaited in `_sweep`."""
        assert self._stages
        for child in self._stage_members():
            self._kill(child, signal.SIGKILL)
        self._stages.pop(0)
        if self._stages:
            self._begin_stage()

    def _finished(self) -> bool:
        return self._stages == []

    def _sweep(self) -> None:
        """Kills what is left below this process, orphans included, until nothing is."""
        while True:
            for pid in descendants(os.getpid()):
                self._signal(pid, signal.SIGKILL)
            try:
                pid, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self.log("descendant_ended", pid=pid)

    def _kill(self, child: Child, signum: signal.Signals) -> None:
        if child.pid and (not child.adopted or is_alive(child.pid, child.start_ticks)):
            self._signal(child.pid, signum)

    def _signal(self, pid: int, signum: signal.Signals) -> None:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            self.log("signal_missed", pid=pid, signal=signum.name)


def hold_directory(layout: NodeLayout) -> int:
    """Locks the data directory for this process and clears what an earlier one left. Raises CannotRun."""
    layout.data.mkdir(parents=True, exist_ok=True)
    for directory in (layout.logs, layout.run):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    inside = layout.run.is_relative_to(layout.data.resolve())
    for directory in (layout.run,) if inside else (layout.run.parent, layout.run):
        if directory.stat().st_uid != os.getuid():
            raise CannotRun(f"{directory} belongs to another user; remove it, then start again")
        directory.chmod(0o700)
    descriptor = os.open(layout.data / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        raise CannotRun(
            f"a node already runs on {layout.data} (supervisor pid {pid}); "
            f"stop it first: aether node stop --data {layout.data}"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    for stale in layout.run.glob("*.sock"):
        stale.unlink(missing_ok=True)
    return descriptor


def node_children(layout: NodeLayout) -> tuple[ChildSpec, ...]:
    """The processes of a node of its role. Raises CannotRun when the directory holds no node."""
    try:
        role = json.loads(layout.identity.read_bytes())["role"]
    except FileNotFoundError:
        raise CannotRun(
            f"{layout.data} holds no node (node.json is missing); begin a cluster with `aether cluster init "
            f"{layout.data}` or join one with `aether node start --data {layout.data} --join TOKEN@HOST:PORT`"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise CannotRun(f"{layout.identity} is damaged; restore it, or join again with an empty directory") from None
    kinds = ("store", "gateway", "control") if role == "core" else ("gateway", "control")
    data = ("--data", str(layout.data))
    zygote = module_argv("agent_api.assemble.zygote", *data, "--set", "default")
    return (
        *(ChildSpec(id=kind, kind=kind, argv=module_argv(f"agent_api.assemble.{kind}", *data)) for kind in kinds),
        ChildSpec(id="zygote-default", kind="zygote", argv=zygote),
    )


def supervise(layout: NodeLayout, specs: Sequence[ChildSpec], *, lifeline: int | None = None) -> None:
    """Runs until told to stop. Raises CannotRun."""
    held = hold_directory(layout)
    try:
        become_subreaper()
        Supervisor(layout, specs, lifeline=lifeline).run()
        layout.socket("supervisor").unlink(missing_ok=True)
    finally:
        os.close(held)


def main(argv: Sequence[str] | None = None) -> int:
    """lifeline_fd: of a pipe; the node ends when its other end closes."""
    told = words_told("aether-supervisor", argv, data=None, lifeline_fd="")
    layout = NodeLayout(Path(told["data"]).resolve())
    lifeline = int(told["lifeline_fd"]) if told["lifeline_fd"] else None
    try:
        supervise(layout, node_children(layout), lifeline=lifeline)
    except (CannotRun, OSError) as error:
        print(f"aether node: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
