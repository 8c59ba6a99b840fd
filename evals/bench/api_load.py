"""Load for the benchmark of the API: one request after the other on one connection, and many clients of its events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from anyio.abc import TaskGroup

from evals.bench.peers import PeerFailed
from evals.forge.http_client import Answer, Broken, HttpConnection, open_connection, render
from runtime.telemetry.histogram import Histogram

WARM: Final = 20  # requests
CONNECT_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, made anew for each time it is sent."""

    method: str
    path: str
    body: Callable[[int], bytes] = lambda _: b""
    headers: Sequence[tuple[str, str]] = ()

    def raw(self, address: str, number: int) -> bytes:
        return render(self.method, self.path, address, self.body(number), self.headers)


class Loop:
    """One connection. Raises PeerFailed for an answer that is none."""

    def __init__(self, address: str, asked: Asked) -> None:
        self._address = address
        self._asked = asked
        self._connection: HttpConnection | None = None
        self._number = 0

    async def once(self) -> bytes:
        """The answer's body."""
        if self._connection is None or not self._connection.open:
            self._connection = await open_connection(self._address)
        done: asyncio.Future[Answer | Broken] = asyncio.get_running_loop().create_future()
        self._number += 1
        self._connection.send(self._asked.raw(self._address, self._number), done.set_result)
        answer = await done
        if isinstance(answer, Broken) or answer.status >= 300:
            said = answer.cause if isinstance(answer, Broken) else f"{answer.status} {answer.body[:300]!r}"
            raise PeerFailed(f"{self._asked.method} {self._asked.path}: {said}")
        return answer.body

    async def run(self, seconds: float) -> Histogram:
        """Microseconds of each request."""
        for _ in range(WARM):
            await self.once()
        found = Histogram()
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            await self.once()
            found.record(int((time.perf_counter() - began) * 1e6))
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.quit()


@dataclass(slots=True)
class Crowd:
    """Clients of /v1/events. `came_s` has when each client got the newest event."""

    address: str
    headers: Sequence[tuple[str, str]]
    came_s: list[float] = field(default_factory=list)
    everybody: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _count: int = 0

    async def enter(self, count: int, tasks: TaskGroup) -> None:
        """Returns once all of them follow."""
        self._count = count
        host, _, port = self.address.rpartition(":")
        request = render("GET", "/v1/events", self.address, headers=[*self.headers, ("accept", "text/event-stream")])
        for first in range(0, count, CONNECT_AT_ONCE):
            some = range(first, min(count, first + CONNECT_AT_ONCE))
            opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in some))
            for reader, writer in opened:
                writer.write(request)
                self._writers.append(writer)
                await reader.readuntil(b"retry: ")
                tasks.start_soon(self._read, reader)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(65_536):
            if b"\nevent: " in piece:
                self.came_s.append(time.perf_counter())
                if len(self.came_s) == self._count:
                    self.everybody.set()

    def again(self) -> None:
        self.came_s, self.everybody = [], asyncio.Event()

    def leave(self) -> None:
        for writer in self._writers:
            writer.close()
