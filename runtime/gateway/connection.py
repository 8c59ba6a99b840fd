"""One HTTP/1.1 connection, as uvicorn's server makes them: httptools events in, rendered replies out.

It takes the place of uvicorn's own protocol class. That one starts a task, an event and five coroutines for every
request; measured on the same work they cost more than all else a request needs (docs/decisions/0003). Requests
that arrive while another is in progress wait their turn, so replies leave in the order of the requests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

import httptools

from runtime.gateway.exchange import Exchange
from runtime.gateway.render import CONTINUE, carries_body

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from runtime.gateway.asgi import AsgiApp

LINGER_S: Final = 2.0  # a client still sending when it is refused gets this long to read why
DROPPED_BYTES_MAX: Final = 1 << 20
JOINED_BYTES_MAX: Final = 1 << 16  # below it one copy is cheaper than one more buffer to write
UNANSWERED_MAX: Final = 1_024  # requests in one read beyond which a client is not pipelining but flooding


class Stage(Enum):
    """What is being read."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    DEAF = auto()  # nothing any more: what still comes is dropped


class HttpConnection(asyncio.Protocol):
    """Parser callbacks collect one request; `_current` is the one being answered, `_later` those behind it."""

    __slots__ = (
        "_advancing",
        "_begun_at",
        "_body_bytes",
        "_connections",
        "_current",
        "_dropped_bytes",
        "_ended",
        "_front",
        "_head_bytes",
        "_headers",
        "_headers_seen",
        "_incoming",
        "_last",
        "_later",
        "_loop",
        "_parser",
        "_pieces",
        "_read_bytes",
        "_reading_paused",
        "_since",
        "_target",
        "_transport",
        "_writing_paused",
        "stage",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._front = cast("AsgiApp", config.app).front  # the server is given no other, see server.py
        self._connections = cast("set[HttpConnection]", server_state.connections)
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._current: Exchange | None = None
        self._later: deque[Exchange] = deque()
        self._incoming: Exchange | None = None
        self.stage = Stage.IDLE
        self._since = self._begun_at = self._loop.time()
        self._last = self._ended = self._advancing = self._reading_paused = self._writing_paused = False
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._headers_seen = self._head_bytes = self._read_bytes = self._body_bytes = self._dropped_bytes = 0
        self._pieces: list[bytes] = []

    # What the loop and the server call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        if len(self._connections) > self._front.limits.connections_max:
            self._refuse("overloaded", "this gateway has as many connections as it takes")

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if not self._connections:
            self._front.emptied.set()
        self._forget_body()
        current, later = self._current, self._later
        self.stage, self._current, self._incoming, self._later = Stage.DEAF, None, None, deque()
        del self._parser  # it leads back here
        if current is not None:
            current.abandon()
        for exchange in later:
            exchange.abandon()

    def data_received(self, data: bytes) -> None:
        if self.stage is Stage.DEAF:
            self._drop(len(data))
            return
        self._read_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as the plain request that it also is; its reply closes the connection
        except httptools.HttpParserCallbackError as error:
            self._front.broke(error)
            self._refuse("internal", "the gateway failed on this request")
        except httptools.HttpParserError as error:
            self._refuse("bad_request", f"the request is not valid HTTP/1.1: {error}")
        if self.stage is Stage.HEAD:
            self._head_bytes = 0 if self._head_bytes < 0 else self._head_bytes + len(data)
            if self._head_bytes > self._front.limits.head_bytes_max:
                self._refuse_head()
        if len(self._later) >= self._front.limits.pipelined_max and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Closes: a client that gives up on a reply looks just like one that has merely said all."""

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._since = self._loop.time()
        self._next()

    def shutdown(self) -> None:
        """The server stops: ends now if nothing is in progress, else with the next reply."""
        if self._current is None and self.stage is Stage.IDLE:
            self._transport.close()
        else:
            self._last = True

    def abort(self) -> None:
        self._transport.abort()

    def check(self, now_s: float) -> None:
        """Ends what takes longer than its limit; called about once a second."""
        limits = self._front.limits
        waited_s = now_s - self._since
        if self._writing_paused:
            if waited_s > limits.write_timeout_s:
                self._transport.abort()
        elif self.stage is Stage.DEAF:
            if self._ended and waited_s > LINGER_S:
                self._transport.abort()
        elif self.stage is Stage.IDLE:
            if self._current is None and waited_s > limits.keep_alive_s:
                self._transport.close()
        elif self.stage is Stage.HEAD:
            if waited_s > limits.head_timeout_s:
                self._refuse("request_timeout", f"the head took longer than {limits.head_timeout_s:g} s")
        elif waited_s > limits.body_timeout_s or now_s - self._begun_at > limits.request_timeout_s:
            self._refuse("request_timeout", "the body took too long")

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        self.stage = Stage.HEAD
        self._since = self._begun_at = self._loop.time()
        self._target = b""
        self._headers = {}
        self._headers_seen = 0
        self._head_bytes = -1  # begun in the middle of a read; counted from the next one on

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_seen = seen = self._headers_seen + 1
        if seen > self._front.limits.headers_max:
            return
        name = name.lower()
        headers = self._headers
        if name in headers:
            value = headers[name] + (b"; " if name == b"cookie" else b", ") + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        if self.stage is Stage.DEAF:
            return
        self.stage = Stage.BODY
        headers, limits = self._headers, self._front.limits
        if (
            self._headers_seen > limits.headers_max
            or len(self._target) > limits.target_bytes_max
            or (self._head_is_long() and self._head_size() > limits.head_bytes_max)
        ):
            self._refuse_head()
            return
        parser = self._parser
        newest = parser.get_http_version() == "1.1"
        if newest and b"host" not in headers:
            self._refuse("bad_request", "an HTTP/1.1 request has a host header")
            return
        exchange = self._front.open(parser.get_method(), self._target, headers, self)
        exchange.keep_alive = newest and parser.should_keep_alive() and not parser.should_upgrade()
        self._incoming = exchange
        if self._current is None:
            self._current = exchange
        else:
            self._later.append(exchange)
            if len(self._later) > UNANSWERED_MAX:
                self._transport.abort()
        if exchange.answered:
            self._next()
        elif headers.get(b"expect", b"").lower() == b"100-continue" and self._current is exchange:
            self._transport.write(CONTINUE)

    def on_body(self, piece: bytes) -> None:
        if self.stage is Stage.DEAF:
            return
        self._since = self._loop.time()
        self._body_bytes += len(piece)
        self._front.bodies_bytes += len(piece)
        exchange = self._incoming
        if self._body_bytes > self._front.limits.body_bytes_max:
            self._refuse("body_too_large", self._front.too_large())
        elif exchange is not None and not exchange.answered:
            self._pieces.append(piece)
            if self._front.bodies_bytes > self._front.limits.bodies_bytes_max:
                self._refuse("overloaded", "too many large bodies are being received at once")

    def on_message_complete(self) -> None:
        exchange = self._incoming
        if self.stage is Stage.DEAF or exchange is None:
            return
        self._incoming = None
        self.stage = Stage.IDLE
        if self._body_bytes:
            exchange.request = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._forget_body()
        if exchange is self._current and not exchange.answered:
            exchange.send()

    # Replies, in order.

    def answered(self, exchange: Exchange) -> None:
        """The exchange has its reply; it leaves when all before it have left."""
        if exchange is self._current:
            self._next()

    def _next(self) -> None:
        """Writes the replies that are due, and starts the request behind them."""
        if self._advancing:  # a call that failed at once; the loop below sees its reply
            return
        self._advancing = True
        while (exchange := self._current) is not None and exchange.answered and not self._writing_paused:
            self._write(exchange)
            if self._ended:
                break
            self._current = following = self._later.popleft() if self._later else None
            if following is None:
                self._since = self._loop.time()
            elif not following.answered and following is not self._incoming:
                following.send()
        self._advancing = False
        if self._reading_paused and len(self._later) < self._front.limits.pipelined_max:
            self._reading_paused = False
            self._transport.resume_reading()

    def _write(self, exchange: Exchange) -> None:
        transport = self._transport
        last = exchange.closes or not exchange.keep_alive or self._last or self._front.draining
        if not transport.is_closing():
            head = self._front.renderer.head(exchange, close=last)
            if not carries_body(exchange):
                transport.write(head)
            elif len(exchange.body) <= JOINED_BYTES_MAX:
                transport.write(head + exchange.body)
            else:
                transport.writelines((head, exchange.body))
        if last:
            self._end()

    def _end(self) -> None:
        """Closes after the last reply; lingers while the client still sends, lest a reset destroys what it reads."""
        sending = self.stage is not Stage.IDLE
        self.stage, self._ended = Stage.DEAF, True
        self._since = self._loop.time()
        self._forget_body()
        while self._later:
            self._later.popleft().abandon()
        self._current = self._incoming = None
        if sending and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _refuse(self, code: str, detail: str) -> None:
        """Refuses what is being read, in its turn; nothing after it is read, and the connection ends with it."""
        if self.stage is Stage.DEAF:
            return
        self.stage = Stage.DEAF
        exchange, self._incoming = self._incoming, None
        if exchange is not None and exchange.answered:  # it has its reply, only its body was still coming
            exchange.closes = True
            if exchange is not self._current and exchange not in self._later:
                self._end()
            return
        if exchange is None:
            exchange = self._front.nameless(self)
            if self._current is None:
                self._current = exchange
            else:
                self._later.append(exchange)
        exchange.keep_alive = False
        exchange.refuse(code, detail)

    def _refuse_head(self) -> None:
        limits = self._front.limits
        if len(self._target) > limits.target_bytes_max:
            self._refuse("target_too_long", f"path and query are longer than {limits.target_bytes_max} bytes")
        else:
            self._refuse(
                "head_too_large",
                f"the head has more than {limits.headers_max} headers or {limits.head_bytes_max} bytes",
            )

    def _head_is_long(self) -> bool:
        """Whether the head can be above its limit: it took more than one read, or the read was large."""
        return self._head_bytes >= 0 or self._read_bytes > self._front.limits.head_bytes_max

    def _head_size(self) -> int:
        return len(self._target) + sum(map(len, self._headers)) + sum(map(len, self._headers.values()))

    def _forget_body(self) -> None:
        self._front.bodies_bytes -= self._body_bytes
        self._body_bytes = 0
        self._pieces = []

    def _drop(self, received: int) -> None:
        self._dropped_bytes += received
        if self._dropped_bytes > DROPPED_BYTES_MAX:
            self._transport.abort()
