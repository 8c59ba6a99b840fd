"""The usual stack: a FastAPI front that calls a FastAPI back over HTTP, with httpx or with aiohttp.

Prints "ready" once it takes requests, and ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

DEADLINE_S = 5.0
CONNECTIONS = 256


class Item(BaseModel):
    sku: str
    quantity: int
    unit_cents: int


class PlaceOrder(BaseModel):
    order_id: str
    customer: str
    items: list[Item]
    note: str = ""


class Placed(BaseModel):
    order_id: str
    total_cents: int
    lines: int


class Caller(Protocol):
    async def post(self, body: bytes) -> bytes: ...


def back() -> FastAPI:
    app = FastAPI()

    @app.post("/bench/orders", response_model=Placed)
    async def place(order: PlaceOrder) -> Placed:
        total = sum(item.quantity * item.unit_cents for item in order.items)
        return Placed(order_id=order.order_id, total_cents=total, lines=len(order.items))

    return app


def front(onward: str, client: str) -> FastAPI:
    callers: list[Caller] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _httpx_caller(onward) if client == "httpx" else _aiohttp_caller(onward) as caller:
            callers.append(caller)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/bench/orders", response_model=Placed)
    async def place(order: PlaceOrder) -> Placed:
        return Placed.model_validate_json(await callers[0].post(order.model_dump_json().encode()))

    return app


@asynccontextmanager
async def _httpx_caller(onward: str) -> AsyncIterator[Caller]:
    import httpx

    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=DEADLINE_S) as client:

        class HttpxCaller:
            async def post(self, body: bytes) -> bytes:
                answer = await client.post(onward, content=body, headers={"content-type": "application/json"})
                return answer.content

        yield HttpxCaller()


@asynccontextmanager
async def _aiohttp_caller(onward: str) -> AsyncIterator[Caller]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        class AiohttpCaller:
            async def post(self, body: bytes) -> bytes:
                async with session.post(onward, data=body, headers={"content-type": "application/json"}) as answer:
                    return await answer.read()

        yield AiohttpCaller()


class ToldServer(uvicorn.Server):
    """Says when it is ready."""

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # no sockets here
        await super().startup()
        print("ready", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("front", "back"))
    parser.add_argument("--listen", required=True)
    parser.add_argument("--onward", default="")
    parser.add_argument("--client", choices=("httpx", "aiohttp"), default="httpx")
    arguments = parser.parse_args()
    app = back() if arguments.role == "back" else front(arguments.onward, arguments.client)
    host, _, port = arguments.listen.rpartition(":")
    server = ToldServer(
        uvicorn.Config(app, host=host, port=int(port), loop="uvloop", log_level="warning", access_log=False)
    )

    def end_when_told() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_when_told, daemon=True).start()
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
