"""The front as a plain ASGI application: the same answers, whoever hosts it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
import pytest

from runtime.clock import SystemClock
from runtime.gateway.asgi import AsgiApp
from runtime.gateway.front import Front
from runtime.gateway.limits import GatewayLimits
from runtime.gateway.routes import Binding, RouteTable
from runtime.gateway.watch import RequestWatch
from runtime.invocation.context import CallContext
from runtime.invocation.http import HttpReply, HttpRequest
from runtime.invocation.outcome import Outcome

pytestmark = pytest.mark.anyio

Message = MutableMapping[str, Any]


class Echo:
    """A router whose slice answers with what it was sent; `held` keeps calls open."""

    def __init__(self) -> None:
        self.held = False
        self.cancelled = asyncio.Event()
        self.begun = asyncio.Event()

    def start(
        self,
        target: str,
        payload: bytes,
        context: CallContext,
        done: Callable[[Outcome], None],
        *,
        http: bool = False,
        versions: frozenset[str] | None = None,
    ) -> Callable[[], None]:
        body = msgspec.msgpack.decode(payload, type=HttpRequest).body
        self.begun.set()
        if not self.held:
            done(Outcome(payload=msgspec.msgpack.encode(HttpReply(200, (("x-slice", "echo"),), body))))
        return self.cancelled.set


class Server:
    """What an ASGI server does for one request."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self.pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def app(router: Echo) -> AsgiApp:
    front = Front(
        calls=router,
        watch=RequestWatch(),
        limits=GatewayLimits(body_bytes_max=10),
        clock=SystemClock(),
        time_s=asyncio.get_running_loop().time,
        random=lambda: 0.0,
    )
    front.apply(RouteTable([Binding("a", "b", "a/b", "POST", "/x/{y}", 0, (), 1_000, frozenset({"1"}))]))
    return AsgiApp(front)


def scope(method: str = "POST", path: str = "/x/1") -> Message:
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": [(b"host", b"a")]}


async def test_a_body_in_pieces_goes_through_and_comes_back() -> None:
    server = Server(b"ab", b"", b"cd")
    await app(Echo())(scope(), server.receive, server.send)
    start, body = server.sent
    assert (start["status"], body["body"]) == (200, b"abcd")
    assert {b"x-slice", b"x-request-id", b"traceparent", b"content-length"} <= dict(start["headers"]).keys()


async def test_refusals_are_the_same_problem_replies() -> None:
    for request, pieces, status in (
        (scope(path="/y"), (b"",), 404),
        (scope("PUT"), (b"",), 405),
        (scope(), (b"x" * 11,), 413),
    ):
        server = Server(*pieces)
        await app(Echo())(request, server.receive, server.send)
        assert server.sent[0]["status"] == status
        assert msgspec.json.decode(server.sent[1]["body"])["status"] == status


async def test_a_client_that_leaves_before_its_body_ended_starts_no_call() -> None:
    router, server = Echo(), Server()
    await app(router)(scope(), server.receive, server.send)
    assert not server.sent
    assert not router.begun.is_set()


async def test_a_cancelled_application_ends_its_call() -> None:
    router, server = Echo(), Server(b"{}")
    router.held = True
    serving = asyncio.create_task(app(router)(scope(), server.receive, server.send))
    await router.begun.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert router.cancelled.is_set()


async def test_other_protocols_are_refused() -> None:
    server = Server()
    with pytest.raises(ValueError, match="websocket"):
        await app(Echo())({"type": "websocket"}, server.receive, server.send)
