"""The front as a plain ASGI application: the same answers, whoever hosts it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest

from runtime.gateway.asgi import AsgiApp
from runtime.gateway.limits import GatewayLimits
from tests.unit.gateway_parts import FakeRouter, binding, make_front

pytestmark = pytest.mark.anyio

Message = MutableMapping[str, Any]


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


def app(router: FakeRouter) -> AsgiApp:
    return AsgiApp(make_front(router, binding("POST", "/x/{y}"), limits=GatewayLimits(body_bytes_max=10)))


@pytest.fixture
def echo() -> FakeRouter:
    router = FakeRouter()
    router.at_once = lambda call: call.reply(200, call.request.body, ("x-slice", "echo"))
    return router


def scope(method: str = "POST", path: str = "/x/1") -> Message:
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": [(b"host", b"a")]}


async def test_a_body_in_pieces_goes_through_and_comes_back(echo: FakeRouter) -> None:
    server = Server(b"ab", b"", b"cd")
    await app(echo)(scope(), server.receive, server.send)
    start, body = server.sent
    assert (start["status"], body["body"]) == (200, b"abcd")
    assert {b"x-slice", b"x-request-id", b"traceparent", b"content-length"} <= dict(start["headers"]).keys()


async def test_refusals_are_the_same_problem_replies(echo: FakeRouter) -> None:
    for request, pieces, status in (
        (scope(path="/y"), (b"",), 404),
        (scope("PUT"), (b"",), 405),
        (scope(), (b"x" * 11,), 413),
    ):
        server = Server(*pieces)
        await app(echo)(request, server.receive, server.send)
        assert server.sent[0]["status"] == status
        assert msgspec.json.decode(server.sent[1]["body"])["status"] == status


async def test_a_client_that_leaves_before_its_body_ended_starts_no_call() -> None:
    router, server = FakeRouter(), Server()
    await app(router)(scope(), server.receive, server.send)
    assert not server.sent
    assert router.calls.empty()


async def test_a_cancelled_application_ends_its_call() -> None:
    router, server = FakeRouter(), Server(b"{}")
    serving = asyncio.create_task(app(router)(scope(), server.receive, server.send))
    call = await router.calls.get()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert call.cancelled.is_set()


async def test_other_protocols_are_refused(echo: FakeRouter) -> None:
    server = Server()
    with pytest.raises(ValueError, match="websocket"):
        await app(echo)({"type": "websocket"}, server.receive, server.send)
