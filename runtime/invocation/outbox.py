"""What waits to be written on one connection: small frames in one write per loop tick, large messages cut in parts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from runtime.invocation import frames as f
from runtime.invocation.errors import ConnectionLost

UNSENT_BYTES_MAX: Final = 16 * 1024 * 1024  # beyond it new calls are refused; replies may exceed it by one message each


class Outbox:
    """`wanted(call_id)` says whether the rest of a cut call is still worth sending."""

    __slots__ = (
        "_closed",
        "_drained",
        "_large",
        "_large_bytes",
        "_loop",
        "_out",
        "_out_bytes",
        "_paused",
        "_scheduled",
        "_transport",
        "_wanted",
        "sequence",
        "sequence_sent",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, wanted: Callable[[int], bool]) -> None:
        self._loop = loop
        self._wanted = wanted
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._large: deque[tuple[int, int, bytes, int]] = deque()  # part flags, call id, payload, offset
        self._large_bytes = 0
        self._scheduled = False
        self._paused = False
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self.sequence = 0  # of the last call queued
        self.sequence_sent = 0  # of the last call given to the transport

    @property
    def is_full(self) -> bool:
        return self._out_bytes + self._large_bytes > UNSENT_BYTES_MAX

    def open(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._schedule()

    def write(self, frame: bytes) -> None:
        """Queues a frame; after the connection's end it is dropped."""
        if self._closed:
            return
        self._out.append(frame)
        self._out_bytes += len(frame)
        if not self._scheduled:
            self._schedule()

    def write_rest(self, flags: int, call_id: int, payload: bytes) -> None:
        """The rest of a payload whose first part was written."""
        self._large.append((flags, call_id, payload, f.PART_BYTES))
        self._large_bytes += len(payload) - f.PART_BYTES

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._release()
        self._schedule()

    async def writable(self) -> None:
        """Returns once the transport takes more. Raises ConnectionLost."""
        while self._paused and self._transport is not None:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
        if self._transport is None:
            raise ConnectionLost("connection lost while writing")

    def flush(self) -> None:
        """Everything queued in one write; then one part of each large message, so that small frames get in between."""
        self._scheduled = False
        transport = self._transport
        if transport is None or self._paused or transport.is_closing():
            return
        for _ in range(len(self._large)):
            self._next_part()
        if self._out:
            out, self._out, self._out_bytes = self._out, [], 0
            self.sequence_sent = self.sequence
            transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._large:
            self._schedule()

    def close(self) -> None:
        self._closed = True
        self._transport = None
        self._out.clear()
        self._large.clear()
        self._out_bytes = self._large_bytes = 0
        self._release()

    def _schedule(self) -> None:
        if self._transport is not None and (self._out or self._large) and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def _release(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _next_part(self) -> None:
        flags, call_id, payload, offset = self._large.popleft()
        if not flags & f.FLAG_OF_REPLY and not self._wanted(call_id):
            self._large_bytes -= len(payload) - offset  # the call ended meanwhile: the rest is not sent
            return
        end = offset + f.PART_BYTES
        more = end < len(payload)
        body = payload[offset:end]
        self._large_bytes -= len(body)
        self._out.append(f.pack(f.PART, call_id, body, flags | (f.FLAG_MORE if more else 0)))
        if more:
            self._large.append((flags, call_id, payload, end))
