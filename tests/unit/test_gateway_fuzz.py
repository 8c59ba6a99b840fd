"""One HTTP connection under arbitrary bytes, cut anywhere: it answers, waits or hangs up, and never breaks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httptools
from hypothesis import given
from hypothesis import strategies as st

from runtime.gateway.asgi import AsgiApp
from runtime.gateway.connection import HttpConnection
from runtime.gateway.limits import GatewayLimits
from tests.unit.gateway_parts import Call, FakeRouter, binding, make_front


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False

    def write(self, data: Any) -> None:
        assert not self.ended
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.ended

    def write_eof(self) -> None:
        self.ended = True

    close = abort = write_eof

    def pause_reading(self) -> None:
        """Data that comes nevertheless must not break anything."""

    resume_reading = pause_reading


class Replies:
    """Parses what was written, as a client would."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        self.statuses.append(self.parser.get_status_code())


class Peer:
    """A connection on a fake transport. Every third call waits for the end of the input."""

    def __init__(self) -> None:
        limits = GatewayLimits(body_bytes_max=64, head_bytes_max=400, target_bytes_max=100, headers_max=8)
        self.router, self.transport = FakeRouter(), Transport()
        self.router.at_once = self._answer
        self.waiting: list[Call] = []
        self.count = 0
        self.front = make_front(self.router, binding("POST", "/a/{b}"), limits=limits)
        config: Any = SimpleNamespace(app=AsgiApp(self.front))
        state: Any = SimpleNamespace(connections=set())
        self.connection = HttpConnection(config, state, {}, asyncio.get_running_loop())
        self.connection.connection_made(self.transport)

    def _answer(self, call: Call) -> None:
        self.count += 1
        if self.count % 3:
            call.echo()
        else:
            self.waiting.append(call)

    def feed(self, pieces: list[bytes]) -> list[int]:
        for piece in pieces:
            self.connection.data_received(piece)
        while self.waiting:
            self.waiting.pop().echo()
        replies = Replies()
        replies.parser.feed_data(bytes(self.transport.written))
        return replies.statuses


async def in_loop(check: Callable[[], None]) -> None:
    check()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def request(body: bytes, *, chunked: bool) -> bytes:
    if not chunked:
        return b"POST /a/b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    pieces = b"".join(b"%x\r\n%b\r\n" % (1, body[index : index + 1]) for index in range(len(body)))
    return b"POST /a/b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


places = st.lists(st.integers(0, 2_000), max_size=12)
bodies = st.lists(st.tuples(st.binary(max_size=64), st.booleans()), min_size=1, max_size=6)
lines = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a/b HTTP/1.1\r\n",
        b"PUT /a/b HTTP/1.0\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET http://x/a/b HTTP/1.1\r\n",
        b"host: x\r\n",
        b"content-length: 3\r\n",
        b"content-length: 300\r\n",
        b"transfer-encoding: chunked\r\n",
        b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n",
        b"expect: 100-continue\r\n",
        b"x: " + b"y" * 500 + b"\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
)


@given(bodies=bodies, places=places)
def test_however_requests_are_cut_each_gets_its_reply(bodies: list[tuple[bytes, bool]], places: list[int]) -> None:
    """Liveness: nothing that is well-formed is lost or answered twice, and no body's bytes stay counted."""

    def check() -> None:
        peer = Peer()
        data = b"".join(request(body, chunked=chunked) for body, chunked in bodies)
        assert peer.feed(cut(data, places)) == [200] * len(bodies)
        assert (peer.front.bodies_bytes, peer.front.in_flight) == (0, 0)

    asyncio.run(in_loop(check))


@given(parts=st.lists(st.one_of(lines, st.binary(max_size=30)), max_size=15), places=places)
def test_no_bytes_break_a_connection(parts: list[bytes], places: list[int]) -> None:
    """Safety: every reply is well-formed HTTP, and what was reserved is given back when the connection is lost."""

    def check() -> None:
        peer = Peer()
        statuses = peer.feed(cut(b"".join(parts), places))
        assert not [status for status in statuses if status == 500]
        peer.connection.check(asyncio.get_running_loop().time() + 1_000)
        peer.connection.connection_lost(None)
        assert (peer.front.bodies_bytes, peer.front.in_flight) == (0, 0)

    asyncio.run(in_loop(check))
