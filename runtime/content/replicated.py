"""The ContentStore of a node: its disk, the other nodes' disks, and the store's record of who keeps what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Protocol

import anyio

from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Delete, Put, Store, absent
from runtime.content.disk import DiskContent
from runtime.content.errors import ContentFault, ContentNotFound
from runtime.content.placement import COPIES, keepers, wanted_copies
from runtime.content.port import Accept, pin_key
from runtime.errors import RuntimeFault
from runtime.names import NodeId, Sha256
from runtime.state import keys
from runtime.state.values import ContentCopy, encode

REPLICATE_TIMEOUT_S: Final = 30.0  # 256 MiB at 10 MB/s; what is missing then is repaired later
UNPINNED_AGE_S: Final = 3600.0  # between an upload and the record that pins it lie seconds
REPAIR_EVERY_S: Final = 5.0


class ContentPeers(Protocol):
    """The other nodes' content, over connections between controls."""

    def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        """The bytes from that node. Raises RuntimeFault when it cannot give them."""
        ...

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        """Returns when that node keeps a copy too. Raises RuntimeFault when it could not."""
        ...


class ReplicatedContent:
    """Implements ContentStore. `repair_forever` runs beside it on every node."""

    def __init__(self, *, node: NodeId, disk: DiskContent, store: Store, peers: ContentPeers) -> None:
        self._node = node
        self._disk = disk
        self._store = store
        self._peers = peers
        self._fetching: dict[Sha256, anyio.Lock] = {}

    async def put(
        self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None, accept: Accept | None = None
    ) -> Sha256:
        """Returns when this node and, if they answer in time, the other keepers have the bytes."""
        sha256 = await self._disk.put(chunks, expected=expected, accept=accept)
        await self._record(sha256)
        with anyio.move_on_after(REPLICATE_TIMEOUT_S):
            await self._replicate(sha256)
        return sha256

    async def get(self, sha256: Sha256) -> Path:
        if self._disk.has(sha256) and await self._disk.verify(sha256):
            return self._disk.path(sha256)
        await self.fetch(sha256)
        return self._disk.path(sha256)

    async def verify(self, sha256: Sha256) -> bool:
        return await self._disk.verify(sha256)

    async def pin(self, sha256: Sha256, owner: str) -> None:
        await self._store.txn([], [Put(key=pin_key(sha256, owner), value=b"")])

    async def unpin(self, sha256: Sha256, owner: str) -> None:
        await self._store.txn([], [Delete(key=pin_key(sha256, owner))])

    async def collect(self) -> int:
        """What nobody pins goes from this node, once it is old enough that nobody is about to pin it."""
        pinned = await self._pinned(stale_ok=False)
        freed = 0
        for sha256 in tuple(self._disk.names()):
            if sha256 not in pinned and self._disk.age_s(sha256) > UNPINNED_AGE_S:
                await self._forget(sha256)
                freed += self._disk.delete(sha256)
        return freed

    async def fetch(self, sha256: Sha256, *, source: NodeId | None = None) -> None:
        """Copies the bytes here from `source` or from whoever has them. Raises ContentNotFound."""
        lock = self._fetching.setdefault(sha256, anyio.Lock())
        try:
            async with lock:
                if not self._disk.has(sha256):
                    await self._fetch(sha256, (source,) if source else await self._sources(sha256))
        finally:
            if not lock.locked():
                self._fetching.pop(sha256, None)

    async def _fetch(self, sha256: Sha256, sources: tuple[NodeId, ...]) -> None:
        tried: list[str] = []
        for node in sources:
            try:
                await self._disk.put(self._peers.read(node, sha256), expected=sha256)
            except RuntimeFault as error:
                tried.append(f"{node}: {error}")
                continue
            await self._record(sha256)
            return
        raise ContentNotFound(sha256, "; ".join(tried))

    async def repair_forever(self) -> None:
        """Makes lost copies anew and collects, every `REPAIR_EVERY_S`. No quorum or a failing disk delays it only."""
        while True:
            try:
                await self.repair()
                await self.collect()
            except (StoreFault, ContentFault, OSError):
                pass  # the next round sees the same need
            await anyio.sleep(REPAIR_EVERY_S)

    async def repair(self) -> tuple[Sha256, ...]:
        """One round; returns what was fetched."""
        holders = await self._holders()
        pinned = await self._pinned(stale_ok=True)
        await self._correct_own_records(holders)
        wanted = wanted_copies(
            self._node, await self._live(), {sha256: holders.get(sha256, set()) for sha256 in pinned}
        )
        return tuple([sha256 for sha256 in wanted if await self._fetched(sha256)])

    async def _fetched(self, sha256: Sha256) -> bool:
        try:
            await self.fetch(sha256)
        except ContentNotFound:
            return False  # one that cannot be had now must not keep the others waiting
        return True

    async def _replicate(self, sha256: Sha256) -> None:
        """Asks the other keepers to fetch; one that fails is made up for by repair."""
        live = await self._live()
        others = [node for node in keepers(sha256, live, copies=COPIES + 1) if node != self._node][: COPIES - 1]

        async def ask(node: NodeId) -> None:
            try:
                await self._peers.ask_to_fetch(node, sha256, self._node)
            except RuntimeFault:
                return  # repair does it

        async with anyio.create_task_group() as tasks:
            for node in others:
                tasks.start_soon(ask, node)

    async def _correct_own_records(self, holders: dict[Sha256, set[NodeId]]) -> None:
        """The store says of this node exactly what its disk says."""
        here = set(self._disk.names())
        for sha256 in here:
            if self._node not in holders.get(sha256, set()):
                await self._record(sha256)
                holders.setdefault(sha256, set()).add(self._node)
        for sha256, nodes in holders.items():
            if self._node in nodes and sha256 not in here:
                await self._forget(sha256)
                nodes.discard(self._node)

    async def _record(self, sha256: Sha256) -> None:
        key = keys.content(sha256, self._node)
        value = encode(ContentCopy(size_bytes=self._disk.size_bytes(sha256)))
        await self._store.txn([absent(key)], [Put(key=key, value=value)])

    async def _forget(self, sha256: Sha256) -> None:
        await self._store.txn([], [Delete(key=keys.content(sha256, self._node))])

    async def _sources(self, sha256: Sha256) -> tuple[NodeId, ...]:
        """Live nodes that keep the bytes, best first."""
        having = {NodeId(keys.parts(key)[1]) for key in await self._keys(f"{keys.CONTENT}{sha256}/")}
        return keepers(sha256, (having & set(await self._live())) - {self._node}, copies=len(having))

    async def _holders(self) -> dict[Sha256, set[NodeId]]:
        holders: dict[Sha256, set[NodeId]] = {}
        for key in await self._keys(keys.CONTENT):
            sha256, node = keys.parts(key)
            holders.setdefault(Sha256(sha256), set()).add(NodeId(node))
        return holders

    async def _pinned(self, *, stale_ok: bool) -> set[Sha256]:
        return {Sha256(keys.parts(key)[0]) for key in await self._keys(keys.CONTENT_PINS, stale_ok=stale_ok)}

    async def _live(self) -> tuple[NodeId, ...]:
        return tuple(NodeId(keys.parts(key)[0]) for key in await self._keys(keys.NODES_LIVE))

    async def _keys(self, prefix: str, *, stale_ok: bool = True) -> list[str]:
        found: list[str] = []
        while True:
            page = await self._store.range(prefix, after=found[-1] if found else "", stale_ok=stale_ok)
            found += [item.key for item in page.items]
            if not page.more:
                return found
