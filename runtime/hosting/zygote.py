"""The zygote's loop: forks workers on request, keeps their raw output, watches their memory. One thread, no event loop.

Its socket speaks JSON lines. `hello` says how workers start here and why; `start` answers when the worker listens;
`last` gives a dead worker's last line and, if it was killed here, why; `list` names the living.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Final, Protocol

from runtime.cluster.layout import NodeLayout
from runtime.cluster.parentage import start_ticks
from runtime.cluster.supervisor_socket import Reply, SupervisorSocket
from runtime.hosting.forking import fork_orphan
from runtime.hosting.memory import private_mb

MEMORY_LOOK_S: Final = 1.0
READY_LIMIT_S: Final = 20.0  # a spawned worker on a busy machine imports for a second or two
LINE_BYTES_MAX: Final = 8 * 1024  # longer output lines are cut; a log record has a limit too
OUTPUT_READS_MAX: Final = 16  # x 64 KiB at a time of one worker: the others have their turn, and memory is looked at
LAST_WORDS_MAX: Final = 128
SUPERVISOR_LIMIT_S: Final = 5.0
READY: Final = b"ready\n"
WORKER_ID_MAX: Final = 35  # characters; with ".sock" the longest name of a socket that a layout has room for


class ZygoteLog(Protocol):
    """What a zygote asks of its log. Flushed before every fork, or the child would hold, and repeat, its lines."""

    def info(self, event: str, **fields: object) -> None: ...

    def flush(self) -> None: ...


class BecomeWorker(BaseException):
    """Raised in the forked process, to leave the zygote's frames behind. `ready` is the descriptor to report on."""

    def __init__(self, spec: dict[str, object], ready: int) -> None:
        super().__init__()
        self.spec = spec
        self.ready = ready


@dataclass(slots=True, kw_only=True)
class Forked:
    """A worker as its zygote knows it. `waiter` is the connection that waits for it to be ready, -1 if none does."""

    worker: str
    pid: int
    ticks: int
    artifact: str
    memory_mb_max: int
    pidfd: int
    output: int
    ready: int
    waiter: int
    partial: bytes = b""
    last_line: str = ""
    killed_because: str = ""


class Zygote:
    """`spawn_reason` empty: workers are forks of this process, else new processes, for that reason."""

    def __init__(self, layout: NodeLayout, name: str, *, supervisor: int, spawn_reason: str, log: ZygoteLog) -> None:
        self._layout = layout
        self._name = name
        self._supervisor = supervisor
        self._spawn_reason = spawn_reason
        self._log = log
        self._workers: dict[str, Forked] = {}
        self._last_words: dict[str, tuple[str, str]] = {}
        self._stopping = False
        # Poll, not epoll: a fork shares an epoll instance with its parent, and would unregister the parent's sockets.
        self._selector = selectors.PollSelector()
        path = layout.socket(f"zygote-{name}")
        path.unlink(missing_ok=True)
        self._socket = SupervisorSocket(path, self._selector, self._answer)
        self._wake_read, self._wake_write = socket.socketpair()

    def run(self) -> None:
        """Returns after SIGTERM. Raises BecomeWorker in each fork."""
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._wake_read, selectors.EVENT_READ, lambda _: self._wake_read.recv(4096))
        while not self._stopping:
            timeout = MEMORY_LOOK_S if self._workers else None
            for key, events in self._selector.select(timeout):
                key.data(events)
            self._look_at_memory()
            self._log.flush()
        self._socket.close()

    def _stop(self, _signum: int, _frame: object) -> None:
        self._stopping = True

    def _answer(self, number: int, request: dict[str, object]) -> Reply | None:
        match request["op"]:
            case "hello":
                mode = "spawn" if self._spawn_reason else "fork"
                return {"ok": True, "mode": mode, "reason": self._spawn_reason, "pid": os.getpid()}
            case "list":
                listed = [{"worker": w.worker, "pid": w.pid, "start_ticks": w.ticks} for w in self._workers.values()]
                return {"ok": True, "workers": listed}
            case "last":
                line, reason = self._last_words.get(str(request.get("worker")), ("", ""))
                return {"ok": True, "line": line, "reason": reason}
            case "start":
                return self._start(number, request)
        return {"ok": False, "error": f"unknown op {request['op']!r}; known: hello, list, last, start"}

    # Starting.

    def _start(self, number: int, request: dict[str, object]) -> Reply | None:
        spec = request.get("spec")
        worker = spec.get("worker") if isinstance(spec, dict) else None
        if not isinstance(spec, dict) or not isinstance(worker, str) or not 0 < len(worker) <= WORKER_ID_MAX:
            return {
                "ok": False,
                "error": f"a start needs a spec with a worker id, at most {WORKER_ID_MAX} characters",
            }
        if worker in self._workers:
            return {"ok": False, "error": f"worker {worker} runs already"}
        try:
            forked = self._fork(spec, worker, number)
        except OSError as error:
            return {"ok": False, "error": f"could not fork: {error}"}
        refusal = self._adopt(forked)
        if refusal:
            os.kill(forked.pid, signal.SIGKILL)
            self._release(forked)
            return {"ok": False, "error": f"the supervisor did not adopt the worker: {refusal}"}
        self._workers[worker] = forked
        self._selector.register(forked.output, selectors.EVENT_READ, lambda _: self._read_output(forked))
        self._selector.register(forked.ready, selectors.EVENT_READ, lambda _: self._read_ready(forked))
        self._selector.register(forked.pidfd, selectors.EVENT_READ, lambda _: self._ended(forked))
        return None

    def _fork(self, spec: dict[str, object], worker: str, waiter: int) -> Forked:
        output_read, output_write = os.pipe()
        ready_read, ready_write = os.pipe()
        self._log.flush()
        pid = fork_orphan(self._supervisor)
        if pid == 0:
            self._leave(output_write)
            os.close(output_read)
            os.close(ready_read)
            raise BecomeWorker(spec, ready_write)
        os.close(output_write)
        os.close(ready_write)
        os.set_blocking(output_read, False)
        artifact = spec.get("sha256")
        memory = spec.get("memory_mb_max")
        return Forked(
            worker=worker,
            pid=pid,
            ticks=start_ticks(pid),
            artifact=artifact if isinstance(artifact, str) else "",
            memory_mb_max=memory if isinstance(memory, int) else 0,
            pidfd=os.pidfd_open(pid),
            output=output_read,
            ready=ready_read,
            waiter=waiter,
        )

    def _leave(self, output: int) -> None:
        """In the fork: gives up what belongs to the zygote, and writes to the pipe from here on."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for forked in self._workers.values():
            self._release(forked)
        self._workers.clear()
        self._socket.close()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)

    def _adopt(self, forked: Forked) -> str:
        """Has the supervisor list the worker. Returns why it did not, or nothing."""
        request = {
            "op": "adopt",
            "id": forked.worker,
            "kind": "worker",
            "pid": forked.pid,
            "start_ticks": forked.ticks,
            "note": json.dumps({"sha256": forked.artifact, "set": self._name, "memory_mb_max": forked.memory_mb_max}),
        }
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SUPERVISOR_LIMIT_S)
                client.connect(str(self._layout.socket("supervisor")))
                client.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(client.makefile("rb").readline() or b"{}")
        except (OSError, ValueError) as error:
            return str(error)
        return "" if answer.get("ok") is True else str(answer.get("error", "it gave no answer"))

    # Watching.

    def _read_ready(self, forked: Forked) -> None:
        received = os.read(forked.ready, 64)
        self._selector.unregister(forked.ready)
        os.close(forked.ready)
        forked.ready = -1
        if received == READY:
            self._reply(forked, {"ok": True, "pid": forked.pid, "start_ticks": forked.ticks})
        else:
            self._read_output(forked)
            self._reply(forked, {"ok": False, "error": f"it ended while starting: {forked.last_line or 'no output'}"})

    def _reply(self, forked: Forked, reply: Reply) -> None:
        if forked.waiter >= 0:
            self._socket.send(forked.waiter, reply)
            forked.waiter = -1

    def _read_output(self, forked: Forked) -> None:
        for _ in range(OUTPUT_READS_MAX):
            if forked.output < 0:
                return
            try:
                received = os.read(forked.output, 65_536)
            except BlockingIOError:
                return
            *lines, forked.partial = (forked.partial + received).split(b"\n")
            if not received or len(forked.partial) > LINE_BYTES_MAX:
                lines.append(forked.partial)
                forked.partial = b""
            for line in lines:
                self._log_line(forked, line)
            if not received:
                self._selector.unregister(forked.output)
                os.close(forked.output)
                forked.output = -1

    def _log_line(self, forked: Forked, line: bytes) -> None:
        text = line[:LINE_BYTES_MAX].decode(errors="replace").rstrip()
        if text:
            forked.last_line = text
            self._log.info("worker_output", worker=forked.worker, line=text)

    def _look_at_memory(self) -> None:
        for forked in self._workers.values():
            used = private_mb(forked.pid)
            if forked.memory_mb_max and used > forked.memory_mb_max and not forked.killed_because:
                forked.killed_because = f"it used {used:.0f} MB, over its limit of {forked.memory_mb_max} MB"
                signal.pidfd_send_signal(forked.pidfd, signal.SIGKILL)

    def _ended(self, forked: Forked) -> None:
        self._read_output(forked)
        for descriptor in (forked.pidfd, forked.ready, forked.output):
            if descriptor >= 0:
                self._selector.unregister(descriptor)
        self._reply(forked, {"ok": False, "error": f"it ended while starting: {forked.last_line or 'no output'}"})
        self._release(forked)
        self._workers.pop(forked.worker, None)
        self._last_words[forked.worker] = (forked.last_line, forked.killed_because)
        while len(self._last_words) > LAST_WORDS_MAX:
            del self._last_words[next(iter(self._last_words))]
        self._layout.socket(forked.worker).unlink(missing_ok=True)
        self._log.info("worker_ended", worker=forked.worker, pid=forked.pid, why=forked.killed_because)

    def _release(self, forked: Forked) -> None:
        for descriptor in (forked.pidfd, forked.ready, forked.output):
            if descriptor >= 0:
                os.close(descriptor)
        forked.pidfd = forked.ready = forked.output = -1


def spawn_argv(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments]
