"""The way from a cluster to the Forge that provides its nodes: frames over a Unix socket, one call a connection."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from controllers.nodes.port import NodeProvider, NodeRole, ProvidedNode, ProviderFault
from runtime.errors import RuntimeFault
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import Listener, connect_unix, serve_unix

SCHEME: Final = "unix:"
PROVIDE: Final = "_nodes/provide"
RELEASE: Final = "_nodes/release"
CALL_S: Final = 4.0


class Asked(msgspec.Struct, frozen=True, array_like=True):
    node: str
    role: NodeRole = "worker"


_decode: Final = msgspec.msgpack.Decoder(Asked).decode


class ForgeNodes:
    """Implements NodeProvider on the cluster's side."""

    def __init__(self, address: str) -> None:
        """address: unix:/PATH of the Forge's socket."""
        self._path = Path(address.removeprefix(SCHEME))

    async def provide(self, node: str, role: NodeRole) -> ProvidedNode:
        raw = await self._call(PROVIDE, Asked(node, role))
        try:
            return msgspec.msgpack.decode(raw, type=ProvidedNode)
        except msgspec.DecodeError as error:
            raise ProviderFault(f"what listens at {self._path} is no provider of nodes: {error}") from error

    async def release(self, node: str) -> None:
        await self._call(RELEASE, Asked(node))

    async def _call(self, target: str, asked: Asked) -> bytes:
        try:
            connection = await connect_unix(self._path)
            try:
                return await connection.call(target, msgspec.msgpack.encode(asked), deadline_s=CALL_S)
            finally:
                await connection.close()
        except (CallFault, RuntimeFault) as error:
            raise ProviderFault(f"the provider at {self._path} cannot be asked: {error}") from error


async def serve_door(path: Path, nodes: NodeProvider) -> Listener:
    """The Forge's side. Raises AddressUnusable."""

    async def provide(call: IncomingCall) -> bytes:
        asked = _decode(call.payload)
        return msgspec.msgpack.encode(await nodes.provide(asked.node, asked.role))

    async def release(call: IncomingCall) -> bytes:
        await nodes.release(_decode(call.payload).node)
        return b""

    return await serve_unix(path, Handlers(unary={PROVIDE: provide, RELEASE: release}))
