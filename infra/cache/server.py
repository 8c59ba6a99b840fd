"""The cache's server part: a system slice that every gateway hosts inline.

A worker asks the instance of its own node, which asks the key's owner or, failing that, its backup. The owner of a
key sends each put on to the backup. When nodes come or leave nothing is moved at once: a read that finds only one of
two copies makes the other again.
"""

from __future__ import annotations

from typing import Final, cast

from infra.cache.limits import CACHE_SLICE, CACHE_VERSION, NODE_BYTES_MAX
from infra.cache.placement import keepers
from infra.cache.serving import CacheCluster, CacheKeeping, Held
from infra.cache.shelf import Entry, Shelf
from runtime.clock import Clock, SystemClock
from runtime.hosting.proxies import make_proxy
from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallFault
from runtime.sdk.contract import DependencyContract
from runtime.sdk.marks import idempotent, slice_
from runtime.sdk.reading import DependencyReading
from runtime.sdk.services import Caller

SUSPECT_S: Final = 1.0  # a node that did not answer is left alone so long; its lease ends a few seconds later
CONCURRENCY_MAX: Final = 4_096  # calls here are short, and one waits 250 ms at most
CLOCK: Final = SystemClock()


class OneNode:
    """Calls that always go to the instance of one node."""

    def __init__(self, caller: Caller, node: str) -> None:
        self._caller = caller
        self._node = node

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        return await self._caller.call(target, payload, context, deadline_s=deadline_s, node=node or self._node)


@slice_(name=CACHE_SLICE, version=CACHE_VERSION, concurrency_max=CONCURRENCY_MAX)
class CacheSlice:
    """Keeps this node's part of the cache."""

    def __init__(self, cluster: CacheCluster) -> None:
        self._cluster = cluster
        self._clock: Clock = CLOCK
        self._shelf = Shelf(CLOCK, bytes_max=NODE_BYTES_MAX)
        self._peers: dict[str, CacheKeeping] = {}
        self._suspects: dict[str, float] = {}  # node → until when it is left alone

    @classmethod
    def _on(cls, cluster: CacheCluster, clock: Clock, bytes_max: int = NODE_BYTES_MAX) -> CacheSlice:
        """One with another clock and shelf, for tests and the in-memory cache."""
        made = cls(cluster)
        made._clock, made._shelf = clock, Shelf(clock, bytes_max=bytes_max)
        return made

    # For workers.

    @idempotent
    async def get(self, scope: str, key: str) -> bytes | None:
        """The owner's copy, else the backup's, which the owner then gets too."""
        name = f"{scope}/{key}"
        missed: list[CacheKeeping] = []
        for node in self._reachable(name):
            keeping = self._at(node)
            try:
                held = await keeping.fetch(name)
            except CallFault:
                self._suspect(node)
                continue
            if held is None:
                missed.append(keeping)
                continue
            for other in missed:
                await self._adopted(other, name, held)
            return held.value
        return None

    @idempotent
    async def put(self, scope: str, key: str, value: bytes, ttl_s: float) -> bool:
        """Through the owner, or through the backup while the owner is silent."""
        name = f"{scope}/{key}"
        for node in self._reachable(name):
            try:
                return await self._at(node).keep(name, value, ttl_s)
            except CallFault:
                self._suspect(node)
        return False

    @idempotent
    async def delete(self, scope: str, key: str) -> bool:
        """True when neither the owner nor the backup has it any more."""
        name = f"{scope}/{key}"
        asked = keepers(name, self._cluster.nodes())
        dropped = 0
        for node in asked:
            try:
                await self._at(node).drop(name)
                dropped += 1
            except CallFault:
                self._suspect(node)
        return dropped == len(asked)

    # Between nodes.

    @idempotent
    async def fetch(self, name: str) -> Held | None:
        entry = self._shelf.get(name)
        if entry is None:
            return None
        await self._copied(name, entry)
        return Held(entry.value, self._shelf.left_s(entry))

    @idempotent
    async def keep(self, name: str, value: bytes, ttl_s: float) -> bool:
        entry = self._shelf.put(name, value, ttl_s)
        if entry is None:
            return False
        await self._copied(name, entry)
        return True

    @idempotent
    async def copy(self, name: str, held: Held) -> bool:
        entry = self._shelf.put(name, held.value, held.left_s)
        if entry is not None:
            entry.copied_to = self._other(name)  # it came from there
        return entry is not None

    @idempotent
    async def adopt(self, name: str, held: Held) -> bool:
        return self._shelf.get(name) is not None or await self.copy(name, held)

    @idempotent
    async def drop(self, name: str) -> None:
        self._shelf.drop(name)

    # Inside.

    def _reachable(self, name: str) -> tuple[str, ...]:
        now_s = self._clock.monotonic_s()
        return tuple(node for node in keepers(name, self._cluster.nodes()) if self._suspects.get(node, now_s) <= now_s)

    def _at(self, node: str) -> CacheKeeping:
        if node == self._cluster.node:
            return self
        keeping = self._peers.get(node)
        if keeping is None:
            keeping = self._peers[node] = _peer(self._cluster.caller, node)
        return keeping

    def _suspect(self, node: str) -> None:
        """Also forgets nodes that are long gone."""
        now_s = self._clock.monotonic_s()
        self._suspects = {other: until for other, until in self._suspects.items() if until > now_s}
        self._suspects[node] = now_s + SUSPECT_S
        live = self._cluster.nodes()
        self._peers = {other: peer for other, peer in self._peers.items() if other in live}

    def _other(self, name: str) -> str:
        """The node with the other copy; empty when this is the only node."""
        return next((node for node in keepers(name, self._cluster.nodes()) if node != self._cluster.node), "")

    async def _copied(self, name: str, entry: Entry) -> None:
        """Makes the other copy unless it was made. Failing is no error: the next read tries again."""
        other = self._other(name)
        if not other or entry.copied_to == other or other not in self._reachable(name):
            return
        entry.copied_to = other  # at once, so that reads meanwhile do not send it too
        try:
            await self._at(other).copy(name, Held(entry.value, self._shelf.left_s(entry)))
        except CallFault:
            entry.copied_to = ""
            self._suspect(other)

    async def _adopted(self, keeping: CacheKeeping, name: str, held: Held) -> None:
        try:
            await keeping.adopt(name, held)
        except CallFault:
            return  # the next read tries again


def _peer(caller: Caller, node: str) -> CacheKeeping:
    contract = DependencyContract(parameter="peer", kind="slice", name=CACHE_SLICE)
    reading = DependencyReading(contract=contract, interface=CacheKeeping)
    return cast(CacheKeeping, make_proxy(reading, OneNode(caller, node), lambda _target: None))  # has its methods
