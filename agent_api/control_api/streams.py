"""Server-sent events: what happens is encoded once and told to every client that follows, each at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

import anyio
import msgspec
from fastapi import Response
from starlette.types import Receive, Scope, Send

from agent_api.control_api.endpoint import EVENTS
from agent_api.control_api.problems import RequestInvalid, TooManyStreams
from runtime.consensus.signal import Signal
from runtime.telemetry.facts import is_fact_id, order_of

FRAMES_MAX: Final = 2_048  # that a client may lag behind: about 1 MiB of events, kept once for all clients
HEARTBEAT_S: Final = 10.0
STUCK_S: Final = 20.0  # a client that takes nothing for so long is let go
LAST: Final = 999_999_999  # index behind all of a revision
RETRY_MS: Final = 1_000

Order = tuple[int, int]
"""Revision and index in it. Ids are written "revision.index" and are equal on every node: any goes on from one."""


class Frame(NamedTuple):
    """`about` is the key or name that clients choose by."""

    order: Order
    about: str
    raw: bytes


class Lagging(Exception):
    """The client is further behind than what is kept."""


class Hub:
    """The newest frames of one source. Nothing is kept for single clients: they read on from their place."""

    def __init__(self, *, frames_max: int = FRAMES_MAX) -> None:
        self._frames: deque[Frame] = deque(maxlen=frames_max)
        self._signal = Signal()
        self._told = 0

    def tell(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._told += 1
        self._signal.fire()

    def lose(self) -> None:
        """The source has a gap: whoever follows is let go, and comes again with its last id."""
        self._frames.clear()
        self._told += 1
        self._signal.fire()

    @property
    def place(self) -> int:
        """Where a client that wants what comes from now on begins."""
        return self._told

    async def follow(self, place: int) -> AsyncIterator[list[Frame]]:
        """All frames from that place on, as many at once as there are; none when a heartbeat is due. Raises Lagging."""
        while True:
            seen = self._signal.count
            first = self._told - len(self._frames)
            if place < first:
                raise Lagging
            if place < self._told:
                fresh = [self._frames[at] for at in range(place - first, len(self._frames))]
                place = self._told
                yield fresh
                continue
            with anyio.move_on_after(HEARTBEAT_S) as waiting:
                await self._signal.after(seen)
            if waiting.cancelled_caught:
                yield []


def framed(order: Order, event: str, data: object) -> bytes:
    return b"id: %d.%d\nevent: %b\ndata: %b\n\n" % (*order, event.encode(), msgspec.json.encode(data))


def place_of(text: str) -> Order | None:
    """A client's last id; None where it has none. Raises RequestInvalid."""
    if not text:
        return None
    if not is_fact_id(text):
        raise RequestInvalid(f"Last-Event-ID is the id of an event, as in 120.0, not {text[:40]!r}")
    return order_of(text)


class Seats:
    """How many clients may follow at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def take(self) -> Callable[[], None]:
        """What gives the seat back. Raises TooManyStreams."""
        if self.taken >= self._most:
            raise TooManyStreams("too many clients follow here already", wait_s=5.0)
        self.taken += 1
        return self._give

    def _give(self) -> None:
        self.taken -= 1


class EventStream(Response):
    """Pours until the client goes, or takes nothing for STUCK_S. It can go on with its last id, here or elsewhere."""

    def __init__(self, chunks: AsyncIterator[bytes], leave: Callable[[], None], *, stuck_s: float = STUCK_S) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"}, media_type=EVENTS)
        del self.headers["content-length"]
        self._chunks = chunks
        self._leave = leave
        self._stuck_s = stuck_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                await self._pour(send)
                tasks.cancel_scope.cancel()
        finally:
            self._leave()

    async def _pour(self, send: Send) -> None:
        """Ends the answer in order, except where the client is stuck: then the connection is let go."""
        await send({"type": "http.response.body", "body": b"retry: %d\n\n" % RETRY_MS, "more_body": True})
        async for chunk in self._chunks:
            with anyio.move_on_after(self._stuck_s) as sending:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if sending.cancelled_caught:
                return
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
