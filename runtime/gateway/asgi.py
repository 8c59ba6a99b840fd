"""The front as a plain ASGI application: what uvicorn is given, and what any other ASGI server can host.

Under our own server requests do not come this way: its connections (connection.py) hand them to the same Front
without a task and five coroutines each. Refusals, routing and replies are the Front's in both cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.gateway.exchange import Exchange
    from runtime.gateway.front import Front

Message = MutableMapping[str, Any]  # as ASGI defines it: the members depend on "type"
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Waiting:
    """Completes `done` when the exchange is answered."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, exchange: Exchange) -> None:
        if not self.done.done():
            self.done.set_result(None)


class AsgiApp:
    def __init__(self, front: Front) -> None:
        self.front = front

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request. A cancelled application ends its call."""
        if scope["type"] != "http":
            raise ValueError(f"this application answers http, not {scope['type']}")
        waiting = _Waiting()
        exchange = self.front.open(scope["method"].encode(), _target(scope), _headers(scope), waiting)
        try:
            if not exchange.answered and await self._receive(exchange, receive):
                exchange.send()
                await waiting.done
        except asyncio.CancelledError:
            exchange.abandon()
            raise
        if exchange.answered:
            await _reply(exchange, send)

    async def _receive(self, exchange: Exchange, receive: Receive) -> bool:
        """Whether the whole body came, within its limit."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return False
            body += message.get("body", b"")
            if len(body) > self.front.limits.body_bytes_max:
                exchange.refuse("body_too_large", self.front.too_large())
                return False
            if not message.get("more_body", False):
                exchange.request = bytes(body)
                return True


async def _reply(exchange: Exchange, send: Send) -> None:
    context = exchange.context
    headers = [(name.encode(), value.encode()) for name, value in exchange.headers]
    headers += [
        (b"x-request-id", context.request_id.encode()),
        (b"traceparent", context.traceparent().encode()),
        (b"content-length", b"%d" % len(exchange.body)),
    ]
    await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if exchange.head_only else exchange.body})


def _target(scope: Message) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


def _headers(scope: Message) -> dict[bytes, bytes]:
    merged: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        merged[name] = merged[name] + b", " + value if name in merged else value
    return merged
