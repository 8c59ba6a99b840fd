"""Whatever frames a peer sends, in whatever order: the connection goes on or ends, and nothing else happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from runtime.invocation import frames as f
from runtime.invocation.connection import Connection
from runtime.invocation.context import CallContext
from runtime.invocation.dispatch import UNFINISHED_MAX
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.outcome import Outcome


class Wire(asyncio.Transport):
    """Takes what is written; ends the connection when it is told to."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        if not self.ended:
            self.ended = True
            self._loop.call_soon(self._connection.connection_lost, None)

    close = abort


async def echo(call: IncomingCall) -> bytes:
    return call.payload


async def twice(call: IncomingCall) -> AsyncIterator[bytes]:
    yield call.payload
    yield call.payload


async def fed(raw: bytes) -> Connection:
    """A connection with a call and a stream of its own in progress, after it read `raw`."""
    broken: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: broken.append(context))
    connection = Connection(Handlers(default=echo, streams={"s": twice}, notifies={"n": lambda *_: None}))
    wire = Wire(connection)
    connection.connection_made(wire)
    ends: list[Outcome] = []
    context = CallContext.root(asyncio.get_running_loop().time() + 5)
    connection.start_call("far/away", b"", context=context, done=ends.append)
    stream = connection.stream("far/stream")
    connection.data_received(raw)
    for _ in range(5):
        await asyncio.sleep(0)
    assert connection.is_open is not wire.ended
    wire.abort()
    await connection.wait_closed()
    assert len(ends) == 1, "the call has exactly one end"
    await stream.aclose()
    await asyncio.sleep(0)
    assert (broken, connection.handling, connection.in_progress) == ([], 0, 0)
    return connection


call_ids = st.integers(0, 3)
calls = st.builds(
    lambda call_id, target, payload, flags: f.pack_call(
        call_id, target, payload, CallContext(0.0, b"t" * 16, b"s" * 8), 1_000, 0, flags
    ),
    call_ids,
    st.sampled_from([b"a/b", b"s", b"", b"\xff"]),
    st.binary(max_size=20),
    st.integers(0, 15),
)
others = st.builds(f.pack, st.integers(0, f.KIND_MAX + 1), call_ids, st.binary(max_size=20), st.integers(0, 15))


@given(st.lists(calls | others, max_size=12), st.binary(max_size=12))
def test_no_frames_break_a_connection(frames: list[bytes], rest: bytes) -> None:
    asyncio.run(fed(b"".join(frames) + rest))


def test_messages_that_are_begun_and_never_ended_have_a_limit() -> None:
    context = CallContext(0.0, b"t" * 16, b"s" * 8)
    begun = [f.pack_call(number, b"a/b", b"", context, 1_000, 0, f.FLAG_MORE) for number in range(UNFINISHED_MAX + 1)]
    assert asyncio.run(fed(b"".join(begun[:-1]))).close_reason == "closed by the other side"
    assert "unfinished" in asyncio.run(fed(b"".join(begun))).close_reason
