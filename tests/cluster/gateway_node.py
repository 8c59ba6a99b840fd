"""Gateway processes without the rest of a node, and workers that are the test itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from runtime.clock import SystemClock
from runtime.cluster.identity import Listen, NodeIdentity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.gateway.verbs import TABLE, TableApplied
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.invocation.http import HttpReply, HttpRequest
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import Listener, connect_unix, serve_unix
from runtime.invocation.table import InstanceRow, PeerRow, RoutingTable
from runtime.names import NodeId
from runtime.sdk.contract import MethodContract, RouteContract, SliceContract
from runtime.security.authority import Authority, issue_node

START_LIMIT_S: Final = 20.0

ECHO: Final = SliceContract(
    name="echo",
    version="1.0.0",
    entry="echo:Echo",
    methods=(
        MethodContract(
            name="say",
            idempotent=True,
            routes=(
                RouteContract(method="POST", path="/say"),
                RouteContract(method="GET", path="/say/{word}", headers=("accept-language",)),
            ),
        ),
    ),
)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_sockets:
        made = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in made:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in made]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(port: int, method: str, path: str, body: bytes = b"", *headers: str) -> Answer:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", "host: test", f"content-length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = dict(line.split(": ", 1) for line in head[1:] if line)
        content = await reader.readexactly(int(found.get("content-length", 0)))
        return Answer(int(head[0].split(" ")[1]), found, content)
    finally:
        writer.close()


@dataclass
class GatewayNode:
    """A data directory and the gateway process that runs on it."""

    layout: NodeLayout
    identity: NodeIdentity
    process: asyncio.subprocess.Process | None = None
    listeners: list[Listener] = field(default_factory=list)
    control: Connection | None = None

    @property
    def name(self) -> str:
        return self.identity.node

    @property
    def http(self) -> int:
        return self.identity.listen.http

    @property
    def peer(self) -> PeerRow:
        return PeerRow(self.name, f"127.0.0.1:{self.identity.listen.peer}")

    async def launch(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-P", "-m", "agent_api.assemble.gateway", "--data", str(self.layout.data)]
        self.process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        return self.process

    async def start(self) -> None:
        """Returns once control's verbs are answered."""
        await self.launch()
        self.control = None
        async with asyncio.timeout(START_LIMIT_S):
            while self.control is None:
                try:
                    self.control = await connect_unix(self.layout.socket("gateway"))
                except NotStarted:
                    await asyncio.sleep(0.02)  # a socket, which nothing announces

    async def is_live(self) -> bool:
        try:
            return (await ask(self.http, "GET", "/health/live")).status == 200
        except (ConnectionRefusedError, ConnectionResetError):
            return False

    async def push(
        self,
        revision: int,
        *rows: InstanceRow,
        peers: tuple[PeerRow, ...] = (),
        contracts: tuple[SliceContract, ...] = (ECHO,),
    ) -> TableApplied:
        assert self.control is not None
        table = RoutingTable(revision=revision, node=self.name, instances=rows, peers=peers, contracts=contracts)
        raw = await self.control.call(TABLE, msgspec.msgpack.encode(table), deadline_s=10)
        return msgspec.msgpack.decode(raw, type=TableApplied)

    async def worker(self, name: str, answer: Callable[[IncomingCall], Awaitable[bytes]]) -> Listener:
        """A worker of this node, played by the test."""
        listener = await serve_unix(self.layout.socket(name), Handlers(default=answer))
        self.listeners.append(listener)
        return listener

    async def stop(self) -> None:
        for listener in self.listeners:
            await listener.close()
        if self.control is not None:
            await self.control.close()
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self.process is not None:
            await self.process.communicate()

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)


@contextlib.asynccontextmanager
async def gateway_nodes(directory: Path, count: int) -> AsyncIterator[list[GatewayNode]]:
    """Data directories of nodes of one cluster; nothing runs yet."""
    now_unix_ms = SystemClock().unix_ms()
    authority = Authority.create(directory / "ca", "c1", now_unix_ms=now_unix_ms)
    nodes = []
    for number in range(1, count + 1):
        layout, name = NodeLayout(directory / f"n{number}"), NodeId(f"n{number}")
        for path in (layout.data, layout.logs, layout.run):
            path.mkdir(parents=True)
        issue_node(authority, layout.tls, name, now_unix_ms=now_unix_ms)
        http, api, peer, control = free_ports(4)
        listen = Listen(http=http, api=api, peer=peer, control=control)
        identity = NodeIdentity(node=name, cluster_id="c1", role="worker", listen=listen)
        write_identity(layout.identity, identity)
        nodes.append(GatewayNode(layout, identity))
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


async def say(call: IncomingCall) -> bytes:
    """The echo slice: gives back what came, and in headers where from."""
    if not call.http:
        return call.payload
    request = msgspec.msgpack.decode(call.payload, type=HttpRequest)
    seen = (("x-seen-id", call.context.request_id), ("x-seen-trace", call.context.trace_id.hex()))
    body = request.body or "/".join(request.path).encode()
    return msgspec.msgpack.encode(HttpReply(200, seen, body))
