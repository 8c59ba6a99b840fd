"""A cache in the test's own process: the real proxy and server part on one node."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.cache.limits import NODE_BYTES_MAX
from infra.cache.proxy import CacheProxy
from infra.cache.server import CacheSlice
from runtime.clock import Clock, SystemClock
from runtime.invocation.context import CallContext
from runtime.invocation.errors import NotStarted
from runtime.sdk.services import Caller


class _NoPeers:
    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        raise NotStarted(f"{node} is not part of this process")


@dataclass(slots=True)
class OneNodeCluster:
    node: str = "n1"
    caller: Caller = field(default_factory=_NoPeers)

    def nodes(self) -> tuple[str, ...]:
        return (self.node,)


class MemoryCache(CacheProxy):
    """Implements Cache with the limits of the real one; `clock` moves its TTLs. For `runtime.sdk.testing.running`."""

    def __init__(
        self, slice_name: str = "test", *, clock: Clock | None = None, bytes_max: int = NODE_BYTES_MAX
    ) -> None:
        super().__init__(slice_name, CacheSlice._on(OneNodeCluster(), clock or SystemClock(), bytes_max))
