"""Several nodes' inline hosts with the system slices in them, joined by calls in memory instead of sockets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from infra.cache import Cache
from infra.cache.proxy import open_cache
from infra.database import Database
from infra.database.memory import OpenedStore
from infra.database.proxy import open_database
from runtime.consensus.memory import MemoryStore
from runtime.errors import RuntimeFault
from runtime.gateway.system import start_system_slices
from runtime.hosting.host import Host
from runtime.hosting.tasks import TaskOwner
from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallFault, ConnectionLost, NotStarted, RemoteFault
from runtime.invocation.incoming import IncomingCall
from runtime.sdk.services import Caller, ServiceRequest
from runtime.sdk.testing import CollectedLog
from runtime.telemetry.recorder import Recorder

CACHE = "infra.cache.server:CacheSlice"
DATABASE = "infra.database.server:DatabaseSlice"


@dataclass
class ServiceNodes:
    """`listed` is the routing table's view; a node in `dead` may still be listed."""

    hosts: dict[str, Host] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    store: MemoryStore = field(default_factory=MemoryStore)
    calls: list[tuple[str, str]] = field(default_factory=list)  # (node, target), in order
    lose_replies: int = 0  # of the next calls: they run, and nobody hears of it

    async def add(self, node: str, *entries: str) -> None:
        host = Host(
            node=node,
            caller=NodeCaller(self, node),
            services={
                "cache-cluster": lambda request: Listed(self, request.node, request.caller),
                "store": lambda _request: OpenedStore(self.store),
            },
            recorder=Recorder(),
            log=CollectedLog(),
            tasks=TaskOwner(),
        )
        await start_system_slices(host, entries)
        self.hosts[node] = host
        self.listed.append(node)
        self.dead.discard(node)

    def kill(self, node: str) -> None:
        """It stays listed until `leave`."""
        self.dead.add(node)

    def leave(self, node: str) -> None:
        self.listed.remove(node)

    def request(self, node: str, slice_name: str = "shop") -> ServiceRequest:
        return ServiceRequest(
            slice=slice_name, version="1.0.0", number=1, node=node, config={}, caller=NodeCaller(self, node)
        )

    def cache(self, node: str, slice_name: str = "shop") -> Cache:
        return open_cache(self.request(node, slice_name))

    def database(self, node: str, slice_name: str = "shop") -> Database:
        return open_database(self.request(node, slice_name))


@dataclass
class Listed:
    nodes_: ServiceNodes
    node: str
    caller: Caller

    def nodes(self) -> tuple[str, ...]:
        return tuple(self.nodes_.listed)


@dataclass
class NodeCaller:
    """Calls as a worker or an inline slice of `node` makes them: to its own node unless another is named."""

    nodes: ServiceNodes
    node: str

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        to = node or self.node
        self.nodes.calls.append((to, target))
        if to in self.nodes.dead:
            raise ConnectionLost(f"{to} is dead")
        if to not in self.nodes.hosts:
            raise NotStarted(f"{to} is not there")
        inner = CallContext.root(asyncio.get_running_loop().time() + deadline_s)
        try:
            reply = await self.nodes.hosts[to].answer(IncomingCall(None, 1, target, payload, inner, 0, False))
        except CallFault:
            raise
        except RuntimeFault as error:
            raise RemoteFault(code=error.code, detail=str(error), retryable=error.retryable) from None
        if self.nodes.lose_replies:
            self.nodes.lose_replies -= 1
            raise ConnectionLost("the reply was lost")
        return reply
