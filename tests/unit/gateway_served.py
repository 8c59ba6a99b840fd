"""A gateway's HTTP front on a real socket, and a client that speaks to it in raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest

from runtime.gateway.front import Front
from runtime.gateway.limits import GatewayLimits
from runtime.gateway.server import HttpServer, bind
from runtime.gateway.tasks import Tasks
from tests.unit.gateway_parts import FakeRouter, Lines, Meters, binding, make_front

LIMITS = GatewayLimits(
    body_bytes_max=1_000,
    bodies_bytes_max=2_000,
    head_bytes_max=2_000,
    target_bytes_max=500,
    headers_max=20,
    pipelined_max=2,
)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        return msgspec.json.decode(self.body)["code"]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self, *, bodyless: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        length = 0 if bodyless else int(headers.get("content-length", 0))
        return Reply(int(head[0].split(" ")[1]), headers, await self.reader.readexactly(length))

    async def ask(self, request: bytes, *, bodyless: bool = False) -> Reply:
        self.send(request)
        return await self.reply(bodyless=bodyless)

    async def is_ended(self) -> bool:
        return await self.reader.read(1) == b""


@dataclass
class Gateway:
    front: Front
    server: HttpServer
    router: FakeRouter
    tasks: Tasks
    lines: Lines
    meters: Meters
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.server.address))
        self.clients.append(client)
        return client

    async def ask(self, request: bytes, *, bodyless: bool = False) -> Reply:
        return await (await self.client()).ask(request, bodyless=bodyless)


ROUTES = (binding("POST", "/orders"), binding("GET", "/orders/{id}", b"accept-language"), binding("GET", "/orders"))


@contextlib.asynccontextmanager
async def serving(limits: GatewayLimits = LIMITS) -> AsyncIterator[Gateway]:
    router, tasks, lines, meters = FakeRouter(), Tasks(), Lines(), Meters()
    front = make_front(router, *ROUTES, limits=limits, lines=lines, meters=meters)
    gateway = Gateway(front, HttpServer(front, bind("127.0.0.1", 0)), router, tasks, lines, meters)
    await gateway.server.start(tasks)
    try:
        yield gateway
    finally:
        for client in gateway.clients:
            client.writer.close()
        await gateway.server.close()
        await tasks.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving() as running:
        yield running


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: a", *headers, "", ""]).encode()


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /orders HTTP/1.1", "host: a", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
