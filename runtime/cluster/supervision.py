"""The supervisor as other processes of the node see it: a client of its Unix socket.

Every request has a connection of its own, so a restarted supervisor or a lost reply harms one request alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Literal

import msgspec

from runtime.errors import RuntimeFault

REQUEST_TIMEOUT_S: Final = 5.0
RECONNECT_S: Final = 0.2  # the socket is local; its owner restarts only with the whole node
LINE_BYTES_MAX: Final = 1024 * 1024  # a list of 512 children has about 200 KiB


class SupervisorUnavailable(RuntimeFault):
    code, retryable = "supervisor_unavailable", True
    remedy = "Check that the node runs: aether node status."


class SupervisorRefused(RuntimeFault):
    """The request was understood and not done; the sentence says why."""

    code = "supervisor_refused"


class SupervisedProcess(msgspec.Struct, frozen=True, kw_only=True):
    """`pid` is 0 while it does not run. `note` is what the starter left there."""

    id: str
    kind: str
    pid: int
    start_ticks: int
    state: Literal["running", "waiting", "stopping", "stopped"]
    restarts: int = 0
    last_exit: str = ""
    last_status: int | None = None
    adopted: bool = False
    note: str = ""


class ProcessExit(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` "orphan" has no id: a process that nobody listed. `status` is minus the signal, None if unknown."""

    id: str
    kind: str
    pid: int
    status: int | None
    reason: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    error: str = ""
    pid: int = 0
    child: SupervisedProcess | None = None
    children: tuple[SupervisedProcess, ...] = ()


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    event: str


class SupervisorClient:
    """Raises SupervisorUnavailable when nobody answers, SupervisorRefused when the request is wrong."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def processes(self) -> tuple[SupervisedProcess, ...]:
        return (await self._ask({"op": "list"})).children

    async def pid(self) -> int:
        """The supervisor's own process."""
        return (await self._ask({"op": "list"})).pid

    async def start(
        self,
        process_id: str,
        *,
        kind: str,
        module: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        restart: bool = True,
        note: str = "",
    ) -> SupervisedProcess:
        """Runs `python -P -m module --data DIR arguments…`; one that runs already under that id is left alone."""
        return await self._ask_child(
            {
                "op": "start",
                "id": process_id,
                "kind": kind,
                "module": module,
                "arguments": list(arguments),
                "environment": dict(environment or {}),
                "restart": restart,
                "note": note,
            }
        )

    async def adopt(
        self, process_id: str, *, kind: str, pid: int, start_ticks: int, note: str = ""
    ) -> SupervisedProcess:
        """Lists a process that a child of the supervisor started, and has its end reported under that id."""
        return await self._ask_child(
            {"op": "adopt", "id": process_id, "kind": kind, "pid": pid, "start_ticks": start_ticks, "note": note}
        )

    async def stop(self, process_id: str, *, grace_s: float = 5.0) -> None:
        """SIGTERM, SIGKILL after the grace; returns when the process has ended."""
        await self._ask({"op": "stop", "id": process_id, "grace_s": grace_s}, timeout_s=grace_s + REQUEST_TIMEOUT_S)

    async def restart(self, process_id: str, *, grace_s: float = 5.0) -> None:
        """As `stop`, then starts it anew at once."""
        await self._ask({"op": "restart", "id": process_id, "grace_s": grace_s}, timeout_s=grace_s + REQUEST_TIMEOUT_S)

    async def signal(self, process_id: str, name: str) -> None:
        """`name` as in SIGKILL."""
        await self._ask({"op": "signal", "id": process_id, "signal": name})

    async def signal_pid(self, pid: int, name: str) -> None:
        """Any process below the supervisor."""
        await self._ask({"op": "signal", "pid": pid, "signal": name})

    async def forget(self, process_id: str) -> None:
        """Drops a stopped process from the list."""
        await self._ask({"op": "forget", "id": process_id})

    async def shutdown(self) -> int:
        """Begins to end the node; returns the supervisor's pid, which lives until all has ended."""
        return (await self._ask({"op": "shutdown"})).pid

    async def exits(self) -> AsyncIterator[ProcessExit]:
        """First the ends of adopted processes that nobody forgot yet, then every end from now on, with no gap between.

        While nobody answers it waits; compare with `processes` after a gap.
        """
        while True:
            try:
                async with aclosing(self._lines({"op": "subscribe"})) as lines:
                    for child in _checked(await anext(lines)).children:
                        if child.adopted and child.state == "stopped":
                            yield ProcessExit(
                                id=child.id,
                                kind=child.kind,
                                pid=0,
                                status=child.last_status,
                                reason=child.last_exit,
                            )
                    async for line in lines:
                        if msgspec.json.decode(line, type=_Event).event == "exit":
                            yield msgspec.json.decode(line, type=ProcessExit)
            except SupervisorUnavailable:
                await asyncio.sleep(RECONNECT_S)

    async def _ask_child(self, request: Mapping[str, object]) -> SupervisedProcess:
        child = (await self._ask(request)).child
        assert child is not None
        return child

    async def _ask(self, request: Mapping[str, object], *, timeout_s: float = REQUEST_TIMEOUT_S) -> _Answer:
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._connect()
                try:
                    writer.write(msgspec.json.encode(request) + b"\n")
                    return _checked(await reader.readline())
                finally:
                    writer.close()
        except TimeoutError as error:
            raise SupervisorUnavailable(f"the supervisor did not answer within {timeout_s:g} s") from error
        except OSError as error:
            raise SupervisorUnavailable(f"the supervisor's connection broke: {error}") from error

    async def _lines(self, request: Mapping[str, object]) -> AsyncGenerator[bytes]:
        """The answer and the lines behind it, until the connection ends, which raises SupervisorUnavailable."""
        reader, writer = await self._connect()
        try:
            writer.write(msgspec.json.encode(request) + b"\n")
            while line := await reader.readline():
                yield line
        except OSError as error:
            raise SupervisorUnavailable(f"the supervisor's connection broke: {error}") from error
        finally:
            writer.close()
        raise SupervisorUnavailable("the supervisor closed the connection")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(self._socket, limit=LINE_BYTES_MAX)
        except OSError as error:
            raise SupervisorUnavailable(f"no supervisor listens on {self._socket}") from error


def _checked(line: bytes) -> _Answer:
    if not line:
        raise SupervisorUnavailable("the supervisor closed the connection")
    answer = msgspec.json.decode(line, type=_Answer)
    if not answer.ok:
        raise SupervisorRefused(answer.error)
    return answer
