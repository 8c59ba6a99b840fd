"""Chosen prefixes of the store, kept current here: one range, then one gap-free watch, marked with a revision."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Sequence
from typing import Final

from runtime.consensus.errors import Compacted, StoreFault, StoreUnavailable
from runtime.consensus.signal import Signal
from runtime.consensus.store import LEADER_KEY, KeyValue, Revision, Store, WatchBatch, WatchEvent

RETRY_S: Final = 0.2
FRESH_S: Final = 3.0  # an election takes half of this; after it, old state is better than none
RECENT_MAX: Final = 4_096  # batches that a slow reader of `changes` may lag behind; then it is told to read anew


class StoreCache:
    """Readable at any time once `ready`, without awaiting. `run` keeps it current and never returns."""

    def __init__(self, store: Store, prefixes: Sequence[str]) -> None:
        self._store = store
        self._prefixes = tuple(prefixes)
        self._items: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._recent: list[WatchBatch] = []
        self._dropped = 0
        self._signal = Signal()
        self._is_ready = False
        self._changed_at = Revision(0)
        self.revision = Revision(0)
        self.stale = True
        """No store answers at the moment: what is here may be old."""

    async def run(self) -> None:
        while True:
            try:
                await self._follow(await self._load_freshest())
            except Compacted:
                continue  # history went on without us: read the range again
            except StoreFault:
                self.stale = True
                self._signal.fire()
                await asyncio.sleep(RETRY_S)

    async def ready(self) -> None:
        while not self._is_ready:
            await self._signal.after(self._signal.count)

    def get(self, key: str) -> KeyValue | None:
        return self._items.get(key)

    def items(self, prefix: str) -> list[KeyValue]:
        """In the order of their keys."""
        found = []
        at = bisect.bisect_left(self._sorted, prefix)
        while at < len(self._sorted) and self._sorted[at].startswith(prefix):
            found.append(self._items[self._sorted[at]])
            at += 1
        return found

    async def wait_for(self, revision: Revision) -> None:
        """Returns once the cache is at least as new as `revision`."""
        while self.revision < revision:
            await self._signal.after(self._signal.count)

    async def confirmed(self) -> Revision:
        """Returns once everything acknowledged before the call can be read here, and at which revision: a linearizable
        read of what is cached. Raises StoreFault when no majority answers."""
        revision = (await self._store.get(LEADER_KEY)).revision
        await self.wait_for(revision)
        return self.revision

    async def changed(self, after: Revision) -> Revision:
        """Returns the revision once something of the prefixes changed beyond `after`."""
        while self._changed_at <= after:
            await self._signal.after(self._signal.count)
        return self.revision

    async def changes(self) -> AsyncIterator[WatchBatch]:
        """Every change from now on. After a re-read the differences come as one batch."""
        position = self._dropped + len(self._recent)
        while True:
            seen = self._signal.count
            while position < self._dropped + len(self._recent):
                at = max(0, position - self._dropped)
                position = self._dropped + at + 1
                yield self._recent[at]
            await self._signal.after(seen)

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _load_freshest(self) -> Revision:
        """The present state while there is a quorum: a member that just started does not know yet what it has."""
        try:
            async with asyncio.timeout(FRESH_S):
                return await self._load(stale_ok=False)
        except (StoreFault, TimeoutError):
            return await self._load(stale_ok=True)

    async def _load(self, *, stale_ok: bool) -> Revision:
        found: dict[str, KeyValue] = {}
        oldest: Revision | None = None
        for prefix in self._prefixes:
            after = ""
            while True:
                page = await self._store.range(prefix, after=after, stale_ok=stale_ok)
                oldest = page.revision if oldest is None else min(oldest, page.revision)
                found.update({item.key: item for item in page.items})
                if not page.more:
                    break
                after = page.items[-1].key
        revision = oldest or Revision(0)
        if revision < self.revision:  # another member answered, one that is behind what was seen here already
            raise StoreUnavailable(f"the store is at revision {revision}, before {self.revision}")
        self._replace(found, revision)
        return revision

    def _replace(self, found: dict[str, KeyValue], revision: Revision) -> None:
        """What differs becomes one batch, so that followers of `changes` miss nothing."""
        events = [
            WatchEvent(kind="put", item=item)
            for key, item in sorted(found.items())
            if (before := self._items.get(key)) is None or before.mod_revision < item.mod_revision
        ]
        events += [
            WatchEvent(
                kind="delete",
                item=KeyValue(key=key, value=b"", create_revision=Revision(0), mod_revision=revision, version=0),
            )
            for key in sorted(self._items.keys() - found.keys())
        ]
        self._items = found
        self._sorted = sorted(found)
        self.stale = False
        self._is_ready = True
        self._note(WatchBatch(revision=revision, events=tuple(events)))

    async def _follow(self, revision: Revision) -> None:
        """One watch over all prefixes: their changes come in one order."""
        async for batch in self._store.watch(self._prefixes, from_revision=Revision(revision + 1)):
            self.stale = False
            fresh = tuple(event for event in batch.events if self._take(event))
            self._note(WatchBatch(revision=batch.revision, events=fresh))

    def _take(self, event: WatchEvent) -> bool:
        """False for what the range had already seen."""
        item = event.item
        before = self._items.get(item.key)
        if before is not None and before.mod_revision >= item.mod_revision:
            return False
        if event.kind == "put":
            if before is None:
                bisect.insort(self._sorted, item.key)
            self._items[item.key] = item
        elif before is not None:
            del self._items[item.key]
            del self._sorted[bisect.bisect_left(self._sorted, item.key)]
        return True

    def _note(self, batch: WatchBatch) -> None:
        self.revision = Revision(max(self.revision, batch.revision))
        if batch.events:
            self._changed_at = Revision(max(self._changed_at, batch.revision))
            self._recent.append(batch)
            if len(self._recent) > RECENT_MAX:
                surplus = len(self._recent) // 2
                del self._recent[:surplus]
                self._dropped += surplus
        self._signal.fire()
