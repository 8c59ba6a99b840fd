"""Content over real connections with mutual TLS: streamed, verified, refused when it is not there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.clock import SystemClock
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Put
from runtime.content.disk import DiskContent
from runtime.content.errors import ContentNotFound
from runtime.content.replicated import ReplicatedContent
from runtime.content.serving import ConnectedPeers, offer_content
from runtime.invocation.connection import Connection
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import Listener, connect_tls, serve_tls
from runtime.names import NodeId, Sha256
from runtime.security.authority import Authority, issue_node
from runtime.security.tls import client_context, server_context
from runtime.state import keys

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 12_000  # 3 MB: several credits' worth
NAME = Sha256(hashlib.sha256(BODY).hexdigest())


class Pair:
    """Two nodes whose controls listen on free ports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = MemoryStore()
        self.listeners: dict[NodeId, Listener] = {}
        self.ports: dict[NodeId, int] = {}
        self.contents: dict[NodeId, ReplicatedContent] = {}
        self.disks: dict[NodeId, DiskContent] = {}
        self.opened: list[Connection] = []

    async def open(self) -> None:
        now = SystemClock().unix_ms()
        authority = Authority.create(self.root / "ca", "c1", now_unix_ms=now)
        for node in (NodeId("n1"), NodeId("n2")):
            issue_node(authority, self.root / node / "tls", node, now_unix_ms=now)
            disk = self.disks[node] = DiskContent(self.root / node / "content")
            disk.open()
            content = self.contents[node] = ReplicatedContent(
                node=node, disk=disk, store=self.store, peers=ConnectedPeers(self._connector(node))
            )
            handlers = Handlers()
            offer_content(handlers, disk=disk, content=content)
            listener = await serve_tls("127.0.0.1", 0, server_context(self.root / node / "tls"), handlers)
            self.listeners[node] = listener
            assert listener._server is not None
            self.ports[node] = listener._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
            await self.store.txn([], [Put(key=keys.node_live(node), value=b"")])

    def _connector(self, node: NodeId):  # type: ignore[no-untyped-def]
        async def connect(other: NodeId) -> Connection:
            context = client_context(self.root / node / "tls")
            self.opened.append(await connect_tls("127.0.0.1", self.ports[other], context, other))
            return self.opened[-1]

        return connect

    async def close(self) -> None:
        for connection in self.opened:
            await connection.close()
        for listener in self.listeners.values():
            await listener.close()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path)
    await pair.open()
    yield pair
    await pair.close()


async def body() -> AsyncIterator[bytes]:
    yield BODY


async def test_what_one_node_takes_the_other_fetches_over_tls(pair: Pair) -> None:
    assert await pair.contents[NodeId("n1")].put(body()) == NAME
    assert pair.disks[NodeId("n2")].path(NAME).read_bytes() == BODY


async def test_a_lost_copy_is_fetched_when_it_is_asked_for(pair: Pair) -> None:
    await pair.contents[NodeId("n1")].put(body())
    pair.disks[NodeId("n1")].delete(NAME)
    assert (await pair.contents[NodeId("n1")].get(NAME)).read_bytes() == BODY


async def test_a_peer_that_has_lost_the_bytes_says_so(pair: Pair) -> None:
    await pair.contents[NodeId("n1")].put(body())
    for disk in pair.disks.values():
        disk.delete(NAME)
    with pytest.raises(ContentNotFound, match="not on this node"):
        await pair.contents[NodeId("n1")].get(NAME)


async def test_a_path_in_place_of_a_hash_is_refused(pair: Pair) -> None:
    peers = pair.contents[NodeId("n1")]._peers
    with pytest.raises(Exception, match="no SHA-256"):
        async for _ in peers.read(NodeId("n2"), Sha256("../../node.json")):
            pass
