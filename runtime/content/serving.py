"""Content between nodes: what each control offers to the others, and how it asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import anyio
import msgspec

from runtime.content.disk import DiskContent, checked_name
from runtime.content.errors import ContentFault, ContentNotFound
from runtime.content.replicated import REPLICATE_TIMEOUT_S, ReplicatedContent
from runtime.invocation.connection import Connection
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.names import NodeId, Sha256

READ: Final = "_content/read"
FETCH: Final = "_content/fetch"
SILENCE_S_MAX: Final = 5.0  # between two pieces of 256 KiB: slower than 50 kB/s is as good as gone

Connect = Callable[[NodeId], Awaitable[Connection]]
"""The connection to another node's control; raises a CallFault when there is none."""


class PeerSilent(ContentFault):
    code, retryable = "peer_silent", True
    remedy = "Look at that node: aether status."


class _Fetch(msgspec.Struct, frozen=True, array_like=True):
    sha256: Sha256
    source: NodeId


class ConnectedPeers:
    """Implements ContentPeers over the connections between controls."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        connection = await self._connect(node)
        stream = connection.stream(READ, sha256.encode())
        try:
            while True:
                with anyio.move_on_after(SILENCE_S_MAX) as waiting:
                    try:
                        piece = await anext(stream)
                    except StopAsyncIteration:
                        return
                if waiting.cancelled_caught:
                    raise PeerSilent(f"{node} sent nothing for {SILENCE_S_MAX:g} s")
                yield piece
        finally:
            await stream.aclose()

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        connection = await self._connect(node)
        payload = msgspec.msgpack.encode(_Fetch(sha256, source))
        await connection.call(FETCH, payload, deadline_s=REPLICATE_TIMEOUT_S)


def offer_content(handlers: Handlers, *, disk: DiskContent, content: ReplicatedContent) -> None:
    """Adds `_content/read` and `_content/fetch` to what this node's control answers to other nodes."""

    async def read(call: IncomingCall) -> AsyncIterator[bytes]:
        sha256 = checked_name(call.payload.decode(errors="replace"))
        if not disk.has(sha256):
            raise ContentNotFound(sha256, "not on this node")
        async for piece in disk.read(sha256):
            yield piece

    async def fetch(call: IncomingCall) -> bytes:
        wanted = msgspec.msgpack.decode(call.payload, type=_Fetch)
        await content.fetch(checked_name(wanted.sha256), source=wanted.source)
        return b""

    handlers.streams[READ] = read
    handlers.unary[FETCH] = fetch
