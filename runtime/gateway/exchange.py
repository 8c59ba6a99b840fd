"""One request and its reply. Lives from the request's head until its reply is handed to the connection."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from runtime.gateway.outcome import refusal_of
from runtime.gateway.problem import KINDS, PROBLEM_TYPE, body_of
from runtime.gateway.render import ReplyInvalid
from runtime.invocation.http import HttpReply, HttpRequest

if TYPE_CHECKING:
    from runtime.gateway.front import Front
    from runtime.gateway.routes import Found
    from runtime.invocation.context import CallContext
    from runtime.invocation.outcome import Outcome

Headers = tuple[tuple[str, str], ...]

PROBLEM_HEADERS: Final[Headers] = (("content-type", PROBLEM_TYPE),)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(HttpReply).decode


class Client(Protocol):
    """Where a reply goes."""

    def answered(self, exchange: Exchange) -> None: ...


class Exchange:
    """`answered` turns true once; from then on `status`, `headers`, `body` and `closes` are the reply."""

    __slots__ = (
        "_cancel",
        "_client",
        "_front",
        "answered",
        "body",
        "closes",
        "context",
        "found",
        "head_only",
        "headers",
        "keep_alive",
        "passed",
        "prefix",
        "query",
        "request",
        "started_ns",
        "status",
    )

    context: CallContext  # the front sets it before anybody else sees the exchange
    prefix: bytes  # the rendered status line and headers, once answered

    def __init__(self, front: Front, client: Client) -> None:
        self._front = front
        self._client: Client | None = client
        self._cancel: Callable[[], None] | None = None
        self.started_ns = perf_counter_ns()
        self.found: Found | None = None
        self.query = ""
        self.passed: Headers = ()
        self.request = b""
        self.keep_alive = True
        self.head_only = self.answered = self.closes = False
        self.status = 0
        self.headers: Headers = ()
        self.body = b""

    def send(self) -> None:
        """Hands `request` on. The reply comes through `Client.answered`, possibly before this returns."""
        found, front = self.found, self._front
        assert found is not None
        binding = found.binding
        payload = _encode(HttpRequest(binding.route, found.path, self.query, self.passed, self.request))
        self.request = b""
        front.in_flight += 1
        cancel = front.calls.start(
            binding.target, payload, self.context, self._done, http=True, versions=binding.versions
        )
        if not self.answered:
            self._cancel = cancel

    def answer(self, status: int, headers: Headers, body: bytes, *, closes: bool = False) -> None:
        """Gives the reply to the client. A reply that cannot be sent becomes a refusal."""
        if self.answered:
            return
        try:
            self.prefix = self._front.renderer.prefix(status, headers)
        except ReplyInvalid as error:
            self.refuse("bad_reply", f"the slice's reply is not valid: {error}")
            return
        self.answered = True
        self.status = status
        self.headers = headers
        self.body = body
        self.closes = closes
        if self._client is not None:
            self._client.answered(self)

    def refuse(self, code: str, detail: str, *headers: tuple[str, str], remedy: str = "") -> None:
        """Answers with a problem document."""
        kind = KINDS[code]
        if kind.status == 503:
            headers = (*headers, ("retry-after", str(self._front.limits.retry_after_s)))
        body = body_of(code, detail, self.context.request_id, remedy=remedy)
        self.answer(kind.status, PROBLEM_HEADERS + headers, body, closes=kind.closes)

    def abandon(self) -> None:
        """The client is gone: ends the call, drops the reply."""
        self._client = None
        if self._cancel is not None and not self.answered:
            self.answered = True
            self._front.in_flight -= 1
            self._cancel()

    def _done(self, outcome: Outcome) -> None:
        """The router's callback."""
        if self.answered:  # the client left while the reply was on its way
            return
        front = self._front
        front.in_flight -= 1
        self._cancel = None  # it leads back here; without it no garbage collection is needed
        if outcome.error is not None:
            assert self.found is not None
            refusal = refusal_of(outcome.error, self.found.binding.target)
            self.refuse(refusal.code, refusal.detail)
        else:
            try:
                reply = _decode(outcome.payload)
            except msgspec.DecodeError:
                self.refuse("bad_reply", "the slice's reply could not be read")
            else:
                self.answer(reply.status, reply.headers, reply.body)
        front.watch.ended(self, outcome.error)
