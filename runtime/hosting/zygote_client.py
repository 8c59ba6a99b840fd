"""A zygote as control sees it: a client of its Unix socket, a connection per request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from runtime.hosting.errors import WorkerStartFailed
from runtime.hosting.ports import WorkerSpec
from runtime.hosting.zygote import READY_LIMIT_S

ANSWER_LIMIT_S: Final = 5.0
_RETRY_S: Final = 0.01
_LINE_BYTES_MAX: Final = 256 * 1024


class ZygoteSilent(WorkerStartFailed):
    """It does not listen, or not yet."""


class ZygoteHello(msgspec.Struct, frozen=True, kw_only=True):
    """How workers of the set start. `reason` says why they are spawned rather than forked."""

    mode: Literal["fork", "spawn"]
    reason: str
    pid: int


class LastWords(msgspec.Struct, frozen=True, kw_only=True):
    """A dead worker's last line of output and, if the zygote killed it, why."""

    line: str = ""
    reason: str = ""


class _Started(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    start_ticks: int


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    error: str = ""


class ZygoteClient:
    """Raises WorkerStartFailed, with the zygote's sentence or that it does not answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def hello(self, *, limit_s: float) -> ZygoteHello:
        """Waits until the zygote has preloaded and listens. Raises ZygoteSilent after the limit."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + limit_s
        while True:
            try:
                return msgspec.json.decode(await self._ask({"op": "hello"}, limit_s=ANSWER_LIMIT_S), type=ZygoteHello)
            except (FileNotFoundError, ConnectionError) as error:
                if loop.time() >= ends_at:
                    raise ZygoteSilent(f"no zygote listens on {self._socket.name}: {error}") from None
            await asyncio.sleep(_RETRY_S)  # the file appears when it listens; there is nothing to await before

    async def start(self, spec: WorkerSpec) -> tuple[int, int]:
        """(pid, start ticks) of a worker that listens."""
        artifact = spec.artifact
        wanted = {
            "worker": spec.worker,
            "memory_mb_max": spec.memory_mb_max,
            "sha256": artifact.sha256,
            "code": artifact.code,
            "packages": artifact.packages,
        }
        try:
            line = await self._ask({"op": "start", "spec": wanted}, limit_s=READY_LIMIT_S)
        except OSError as error:
            raise WorkerStartFailed(f"the zygote's connection broke: {error}") from error
        started = msgspec.json.decode(line, type=_Started)
        return started.pid, started.start_ticks

    async def last_words(self, worker: str) -> LastWords:
        """Empty when the zygote is gone too."""
        try:
            line = await self._ask({"op": "last", "worker": worker}, limit_s=ANSWER_LIMIT_S)
        except (OSError, WorkerStartFailed):
            return LastWords()
        return msgspec.json.decode(line, type=LastWords)

    async def _ask(self, request: Mapping[str, object], *, limit_s: float) -> bytes:
        try:
            async with asyncio.timeout(limit_s):
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=_LINE_BYTES_MAX)
                try:
                    writer.write(msgspec.json.encode(request) + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except TimeoutError:
            raise WorkerStartFailed(f"the zygote did not answer within {limit_s:g} s") from None
        if not line:
            raise ConnectionResetError("the zygote closed the connection")
        refusal = msgspec.json.decode(line, type=_Refusal)
        if not refusal.ok:
            raise WorkerStartFailed(refusal.error)
        return line
