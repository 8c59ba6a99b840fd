"""The server parts of infra services: which ones every gateway hosts inline, and what they get there.

Their names and versions stand in `infra/*/limits.py`; each has number 1 on every node. Routing tables from control need
not list them: `runtime.gateway.system` adds those of all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from agent_api.assemble.services import SERVICES
from infra.cache.limits import CACHE_SLICE
from infra.database.limits import DATABASE_SLICE
from runtime.cluster.identity import NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.consensus.store import Store
from runtime.hosting.errors import InstanceFailed
from runtime.sdk.services import Caller, ServiceFactory, ServiceRequest

SYSTEM_SLICES: Final = ("infra.cache.server:CacheSlice", "infra.database.server:DatabaseSlice")
STORE_DEADLINE_S: Final = 4.0  # spans an election, and leaves a call of 5 s the time to say that the store is away


@dataclass(slots=True, kw_only=True)
class LiveCluster:
    """Implements CacheCluster."""

    node: str
    caller: Caller
    listed: Callable[[], tuple[str, ...]]

    def nodes(self) -> tuple[str, ...]:
        return self.listed()


class LazyStore:
    """Implements StoreOpener: no connection before the first call."""

    def __init__(self, layout: NodeLayout, identity: NodeIdentity) -> None:
        self._layout = layout
        self._identity = identity
        self._client: StoreClient | None = None

    def open(self) -> Store:
        if self._client is None:
            self._client = StoreClient.open(self._layout, self._identity, deadline_s=STORE_DEADLINE_S)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def gateway_services(
    layout: NodeLayout, identity: NodeIdentity, *, nodes: Callable[[], tuple[str, ...]]
) -> Mapping[str, ServiceFactory]:
    """What slices in the gateway may ask for: all that workers offer, and for each system slice its own part."""

    def cluster(request: ServiceRequest) -> object:
        _only_for(CACHE_SLICE, request)
        return LiveCluster(node=identity.node, caller=request.caller, listed=nodes)

    def store(request: ServiceRequest) -> object:
        _only_for(DATABASE_SLICE, request)
        return LazyStore(layout, identity)

    return {**SERVICES, "cache-cluster": cluster, "store": store}


def _only_for(name: str, request: ServiceRequest) -> None:
    """Raises InstanceFailed: an inline slice must not reach past the limits of the service."""
    if request.slice != name:
        raise InstanceFailed(f"{request.slice}/{request.number} asks for what only {name} may have")
