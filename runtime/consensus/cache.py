"""Chosen prefixes of the store, kept current here: one range, then one gap-free watch, marked with a revision."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Sequence
from typing import Final

from runtime.consensus.errors import Compacted, StoreFault, StoreUnavailable
from runtime.consensus.signal import Signal
from runtime.consensus.store import LEADER_KEY, NOW, KeyValue, Revision, Store, WatchBatch, WatchEvent

RETRY_S: Final = 0.2
FRESH_S: Final = 3.0  # an election takes half of this; after it, old state is better than none
RECENT_MAX: Final = 4_096  # batches that a slow reader of `changes` may lag behind; then it is told to read anew


class StoreCache:
    """Readable at any time once `ready`, without awaiting. `run` keeps it current and never returns."""

    def __init__(
        self, store: Store, prefixes: Sequence[str], *, recent_max: int = RECENT_MAX, retry_s: float = RETRY_S
    ) -> None:
        self._store = store
        self._recent_max = recent_max
        self._retry_s = retry_s
        self._prefixes = tuple(prefixes)
        self._items: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._recent: list[WatchBatch] = []
        self._dropped = 0
        self._whole_since = Revision(0)
        self._merged: set[Revision] = set()
        self._signal = Signal()
        self._is_ready = False
        self._changed_at = Revision(0)
        self._kinds: dict[str, Revision] = {}
        """By kind of key, its first segment: the newest revision that changed one."""
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
                await asyncio.sleep(self._retry_s)

    @property
    def changed_at(self) -> Revision:
        """The newest revision that changed anything of the prefixes: what is read here is the same from it on."""
        return self._changed_at

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

    async def changed(self, after: Revision, *, among: Sequence[str] = ()) -> Revision:
        """Returns the revision once something of the prefixes changed beyond `after`. among: only of these."""
        while (self.changed_among(among) if among else self._changed_at) <= after:
            await self._signal.after(self._signal.count)
        return self.revision

    def changed_among(self, prefixes: Sequence[str]) -> Revision:
        """The newest revision that changed a key of one of these kinds."""
        return max((self._kinds.get(_kind(each), Revision(0)) for each in prefixes), default=Revision(0))

    def changes(self) -> AsyncIterator[WatchBatch]:
        """Every change from this call on, with no gap. After a re-read the differences come as one batch.

        Raises Compacted in a reader that lags too far behind: call `changes` again, then read `items` anew.
        """
        return self._changes(self._dropped + len(self._recent))

    def known_since(self, revision: Revision) -> list[WatchBatch] | None:
        """Every change behind `revision`, which was read here or at another node, until now; None when some of them are
        not known here any more."""
        if revision < self._whole_since:
            return None
        return self._recent[bisect.bisect_right(self._recent, revision, key=lambda batch: batch.revision) :]

    def is_merged(self, revision: Revision) -> bool:
        """The batch of that revision came of reading the state anew: it also holds changes of revisions before."""
        return revision in self._merged

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _changes(self, position: int) -> AsyncIterator[WatchBatch]:
        while True:
            seen = self._signal.count
            while position < self._dropped + len(self._recent):
                if position < self._dropped:
                    raise Compacted(self._recent[0].revision)
                batch = self._recent[position - self._dropped]
                position += 1
                yield batch
            await self._signal.after(seen)

    async def _load_freshest(self) -> Revision:
        """The present state while there is a quorum: a member that just started does not know yet what it has."""
        try:
            async with asyncio.timeout(FRESH_S):
                return await self._load(stale_ok=False)
        except Compacted:
            raise
        except (StoreFault, TimeoutError):
            return await self._load(stale_ok=True)

    async def _load(self, *, stale_ok: bool) -> Revision:
        """One picture: every page is read at the first one's revision. Raises Compacted when that went meanwhile."""
        found: dict[str, KeyValue] = {}
        revision = NOW
        for prefix in self._prefixes:
            after, more = "", True
            while more:
                page = await self._store.range(prefix, after=after, at_revision=revision, stale_ok=stale_ok)
                revision = revision or page.revision
                found.update({item.key: item for item in page.items})
                after, more = page.items[-1].key if page.more else "", page.more
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
        if not self._is_ready:
            self._whole_since = revision  # what was deleted before is not among the differences
        self._is_ready = True
        self._merged.add(revision)
        self._note(WatchBatch(revision=revision, events=tuple(events)))

    async def _follow(self, revision: Revision) -> None:
        """One watch over all prefixes: their changes come in one order."""
        async for batch in self._store.watch(self._prefixes, from_revision=Revision(revision + 1)):
            self.stale = False
            for event in batch.events:
                self._take(event)
            self._note(batch)

    def _take(self, event: WatchEvent) -> None:
        key, before = event.item.key, self._items.get(event.item.key)
        if event.kind == "put":
            if before is None:
                bisect.insort(self._sorted, key)
            self._items[key] = event.item
        elif before is not None:
            del self._items[key]
            del self._sorted[bisect.bisect_left(self._sorted, key)]

    def _note(self, batch: WatchBatch) -> None:
        self.revision = Revision(max(self.revision, batch.revision))
        if batch.events:
            self._changed_at = Revision(max(self._changed_at, batch.revision))
            self._kinds.update((_kind(event.item.key), self._changed_at) for event in batch.events)
            self._recent.append(batch)
            if len(self._recent) > self._recent_max:
                surplus = len(self._recent) // 2
                self._whole_since = self._recent[surplus - 1].revision
                self._merged = {each for each in self._merged if each > self._whole_since}
                del self._recent[:surplus]
                self._dropped += surplus
        self._signal.fire()


def _kind(key: str) -> str:
    return key.partition("/")[0]
