"""Streams from the answering to the asking side, with credit: a slow reader slows the writer, not the connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from runtime.invocation.errors import CallFault, FrameInvalid, StreamItemTooLarge

if TYPE_CHECKING:
    from runtime.invocation.connection import Connection

ITEM_BYTES_MAX: Final = 512 * 1024  # half a frame's limit, and half a window
WINDOW_BYTES: Final = 1024 * 1024  # in flight per stream
ITEM_OVERHEAD_BYTES: Final = 64  # so that a stream of empty items is bounded too
UNREAD_BYTES_MAX: Final = WINDOW_BYTES + ITEM_BYTES_MAX + ITEM_OVERHEAD_BYTES  # the last item may begin within credit


class IncomingStream:
    """The reader's end; an async iterator. Leaving the loop early must be followed by `aclose()`."""

    def __init__(self, connection: Connection, call_id: int) -> None:
        self._connection = connection
        self._call_id = call_id
        self._items: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: CallFault | None = None
        self._taken_bytes = 0
        self._unread_bytes = 0

    def __aiter__(self) -> IncomingStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item = self._items.popleft()
        self._unread_bytes -= len(item) + ITEM_OVERHEAD_BYTES
        self._taken_bytes += len(item) + ITEM_OVERHEAD_BYTES
        if self._taken_bytes >= WINDOW_BYTES // 4 and not self._ended:
            self._connection.send_credit(self._call_id, self._taken_bytes)
            self._taken_bytes = 0
        return item

    async def aclose(self) -> None:
        """Tells the writer to stop. Closing twice, or after the end, does nothing."""
        if not self._ended:
            self._ended = True
            self._connection.drop_stream(self._call_id)
        self._items.clear()

    def push(self, item: bytes) -> None:
        """Raises FrameInvalid when the writer goes on without credit."""
        self._unread_bytes += len(item) + ITEM_OVERHEAD_BYTES
        if self._unread_bytes > UNREAD_BYTES_MAX:
            raise FrameInvalid(f"a stream's writer sent more than {UNREAD_BYTES_MAX} bytes without credit")
        self._items.append(item)
        self._wake()

    def end(self, error: CallFault | None) -> None:
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class OutgoingStream:
    """The writer's end: waits while the reader has no room."""

    __slots__ = ("_connection", "_credit", "_waiter", "call_id")

    def __init__(self, connection: Connection, call_id: int) -> None:
        self._connection = connection
        self.call_id = call_id
        self._credit = WINDOW_BYTES
        self._waiter: asyncio.Future[None] | None = None

    async def write(self, item: bytes) -> None:
        """Raises StreamItemTooLarge, or ConnectionLost."""
        if len(item) > ITEM_BYTES_MAX:
            raise StreamItemTooLarge(f"an item of {len(item)} bytes; the limit is {ITEM_BYTES_MAX}")
        while self._credit <= 0:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._credit -= len(item) + ITEM_OVERHEAD_BYTES
        self._connection.send_chunk(self.call_id, item)
        await self._connection.writable()

    def credit(self, count: int) -> None:
        self._credit += count
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
