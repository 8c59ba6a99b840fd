"""The least that calls between processes can cost in asyncio: length, call id, payload. Nothing else.

No deadline, no trace, no limit, no retry, no metrics, no flow control, and a handler that never waits: the upper
bound that our own frames are measured against, never used by them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, cast

HEAD: Final = struct.Struct(">II")
Handler = Callable[[bytes], Coroutine[None, None, bytes]]


class Frames(asyncio.Protocol):
    """Splits a stream into (call id, payload)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._out: list[bytes] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        while size - at >= 8:
            length, call_id = HEAD.unpack_from(buffer, at)
            if size - at - 8 < length:
                break
            self.frame(call_id, buffer[at + 8 : at + 8 + length])
            at += 8 + length
        self._buffer = buffer[at:]

    def frame(self, call_id: int, payload: bytes) -> None:
        raise NotImplementedError

    def write(self, call_id: int, payload: bytes) -> None:
        """All that one turn of the loop writes goes out as one: a call of its own for each costs most under TLS."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += (HEAD.pack(len(payload), call_id), payload)

    def _flush(self) -> None:
        self.transport.write(b"".join(self._out))
        self._out.clear()


class FrameClient(Frames):
    """`await client.call(payload)`."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, Callable[[bytes], None]] = {}
        self._next = 0

    def start(self, payload: bytes, done: Callable[[bytes], None]) -> None:
        self._next = call_id = (self._next + 1) & 0xFFFFFFFF
        self._waiting[call_id] = done
        self.write(call_id, payload)

    def call(self, payload: bytes) -> Awaitable[bytes]:
        future: asyncio.Future[bytes] = self._loop.create_future()
        self.start(payload, future.set_result)
        return future

    def frame(self, call_id: int, payload: bytes) -> None:
        self._waiting.pop(call_id)(payload)


class FrameServer(Frames):
    """Runs the handler's coroutine to its end at once, which saves the task that a waiting one would need."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    def frame(self, call_id: int, payload: bytes) -> None:
        try:
            self._handler(payload).send(None)
        except StopIteration as done:
            self.write(call_id, done.value)


class FrameCaller(Frames):
    """Handles each call by one of its own: what it asks is made from the payload, its reply from the other's."""

    def __init__(self, onward: FrameClient, ask: Callable[[bytes], bytes], reply: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._onward, self._ask, self._reply = onward, ask, reply

    def frame(self, call_id: int, payload: bytes) -> None:
        self._onward.start(self._ask(payload), lambda answer: self.write(call_id, self._reply(answer)))


class FrameRelay(Frames):
    """Passes each call on, unread, and each reply back."""

    def __init__(self, onward: FrameClient) -> None:
        super().__init__()
        self._onward = onward

    def frame(self, call_id: int, payload: bytes) -> None:
        self._onward.start(payload, lambda reply: self.write(call_id, reply))
