"""HTTP/1.1 for tests and load: one connection, one request at a time, every outcome known, nothing ever sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from evals.forge.errors import ApiRefused, ApiUnreachable

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
CONNECT_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """No whole answer came. `sent` says whether a byte of the request may have left."""

    cause: str
    sent: bool


Done = Callable[[Answer | Broken], None]


def render(method: str, path: str, host: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
        if not any(name.lower() == "content-type" for name, _ in headers):
            lines.append("content-type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class HttpConnection(asyncio.Protocol):
    """Calls `done` exactly once for each `send`. `idle` while it may take the next request."""

    __slots__ = ("_body", "_done", "_headers", "_keep", "_on_free", "_parser", "_transport", "idle", "open")

    def __init__(self, on_free: Callable[[HttpConnection], None] | None = None) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._done: Done | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._keep = True
        self._on_free = on_free
        self.idle = False
        self.open = False

    def send(self, request: bytes, done: Done) -> None:
        """The connection must be idle."""
        assert self.idle
        assert self._transport is not None
        self.idle = False
        self._done = done
        self._transport.write(request)

    def abort(self, cause: str) -> None:
        """Ends the connection at once; a request under way is `Broken` by that cause."""
        self.open = self.idle = False
        if self._transport is not None:
            self._transport.abort()
        self._finish(Broken(cause, sent=True))

    def quit(self) -> None:
        """Ends the connection without telling anybody."""
        self._done = None
        self.abort("")

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self.idle = self.open = True

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self.abort("unasked_answer")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort("malformed_answer")

    def connection_lost(self, error: Exception | None) -> None:
        self.open = self.idle = False
        self._finish(Broken("connection_reset" if error is not None else "connection_closed", sent=True))

    # what the parser calls

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        keep = self._parser.should_keep_alive()
        answer = Answer(self._parser.get_status_code(), self._headers, b"".join(self._body))
        if keep and self.open:
            self.idle = True
        elif self._transport is not None:
            self.open = False
            self._transport.close()
        self._finish(answer)
        if self.idle and self._on_free is not None:
            self._on_free(self)

    def _finish(self, outcome: Answer | Broken) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


async def open_connection(address: str, on_free: Callable[[HttpConnection], None] | None = None) -> HttpConnection:
    """Raises OSError or TimeoutError; nothing was sent then."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        _, connection = await loop.create_connection(lambda: HttpConnection(on_free), host, int(port))
    return connection


@dataclass(slots=True)
class HttpClient:
    """A connection for each request: for the API and for tests, where clarity counts more than speed."""

    address: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Sequence[tuple[str, str]] = (),
        timeout_s: float = 10.0,
    ) -> Answer:
        """Whatever status came. Raises ApiUnreachable, saying whether the request had been sent."""
        try:
            connection = await open_connection(self.address)
        except (OSError, TimeoutError) as error:
            raise ApiUnreachable(self.address, cause_of(error), sent=False) from error
        outcome: asyncio.Future[Answer | Broken] = asyncio.get_running_loop().create_future()
        fields = [*self.headers, *headers, ("connection", "close")]
        connection.send(render(method, path, self.address, body, fields), outcome.set_result)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await outcome
        except TimeoutError as error:
            raise ApiUnreachable(self.address, f"no answer within {timeout_s:g} s", sent=True) from error
        finally:
            if not outcome.done():
                outcome.cancel()
            connection.quit()
        if isinstance(answer, Broken):
            raise ApiUnreachable(self.address, answer.cause, sent=answer.sent)
        return answer

    async def checked(
        self, method: str, path: str, body: bytes = b"", *, headers: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """As `request`; raises ApiRefused for a status of 400 and above."""
        answer = await self.request(method, path, body, headers=headers, timeout_s=30.0)
        if answer.status >= 400:
            raise ApiRefused(method, path, answer.status, answer.body)
        return answer


def cause_of(error: BaseException) -> str:
    """A short stable word for why no connection was made."""
    if isinstance(error, ConnectionRefusedError):
        return "connection_refused"
    if isinstance(error, TimeoutError):
        return "connect_timeout"
    if isinstance(error, ConnectionResetError):
        return "connection_reset"
    return type(error).__name__
