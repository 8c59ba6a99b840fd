"""The newest facts, kept in order, for those who ask later or follow along."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from runtime.consensus.errors import Compacted
from runtime.consensus.signal import Signal
from runtime.consensus.store import NOW, Revision, Store, WatchBatch
from runtime.telemetry.facts import Fact, facts_of, order_of

FACTS_MAX: Final = 10_000  # about 3 MB; older ones are gone, and `follow` says so with a Reset
REVISIONS_BACK_MAX: Final = 10_000  # what the store's own history holds at most
MARGIN_PARTS: Final = (8, 2)  # after the history was cut while it was read: begin this part of it further on
_ALL_OF_A_REVISION: Final = 1 << 30


class FactLog:
    """Fed with every batch of one watch, from the revision it began at. `taken_until` is the newest one taken."""

    def __init__(self) -> None:
        self._facts: deque[Fact] = deque(maxlen=FACTS_MAX)
        self._values: dict[str, bytes] = {}
        self._signal = Signal()
        self._dropped_until = (0, 0)
        self.taken_until = Revision(0)
        self._has_begun = False

    async def run(self, store: Store, prefixes: Sequence[str]) -> None:
        """Follows the store from where it stopped; the first time from as far back as the store still knows, so that a
        node that was away, or is new, goes on from an id that another node gave.

        Raises what the store raises; run it again then, and nothing is told twice or left out in silence.
        """
        watched = tuple(prefixes)
        if not self._has_begun:
            await self._begin(store, watched)
            self._has_begun = True
        try:
            async for batch in store.watch(watched, from_revision=Revision(self.taken_until + 1)):
                self.take(batch)
        except Compacted:
            self._has_begun = False
            raise

    async def _begin(self, store: Store, prefixes: tuple[str, ...]) -> None:
        newest = (await store.range(prefixes[0], limit=1, stale_ok=True)).revision
        if not newest:  # begun just now: it may hold thousands of revisions by the next question
            self._take_as({}, newest)
            return
        base = Revision(max(1, newest - REVISIONS_BACK_MAX))
        for part in MARGIN_PARTS:
            try:
                await self._read(store, prefixes, base)
            except Compacted as gone:
                base = Revision(min(newest, gone.oldest + max(0, newest - gone.oldest) // part))
            else:
                return
        await self._read(store, prefixes, NOW)

    async def _read(self, store: Store, prefixes: tuple[str, ...], base: Revision) -> None:
        """The values as of one revision: what changes later is compared with them."""
        values: dict[str, bytes] = {}
        for prefix in prefixes:
            after = ""
            while True:
                page = await store.range(prefix, after=after, at_revision=base, stale_ok=True)
                base = base or page.revision
                values |= {item.key: item.value for item in page.items}
                if not page.more:
                    break
                after = page.items[-1].key
        self._take_as(values, base)

    def _take_as(self, values: dict[str, bytes], base: Revision) -> None:
        """What comes is compared with these values as of `base`, and what came until then is not told."""
        self._values = values
        self.taken_until = base
        self._dropped_until = (base, _ALL_OF_A_REVISION)
        self._signal.fire()

    def take(self, batch: WatchBatch) -> None:
        for fact in facts_of(batch, self._values.get):
            if len(self._facts) == FACTS_MAX:
                self._dropped_until = order_of(self._facts[0].id)
            self._facts.append(fact)
        for event in batch.events:
            if event.kind == "put":
                self._values[event.item.key] = event.item.value
            else:
                self._values.pop(event.item.key, None)
        self.taken_until = Revision(max(self.taken_until, batch.revision))
        self._signal.fire()

    def after(self, identity: str, limit: int) -> list[Fact]:
        """The facts behind `identity`, oldest first; the newest `limit` of all when it is empty."""
        if not identity:
            return list(self._facts)[-limit:]
        start = order_of(identity)
        return [fact for fact in self._facts if order_of(fact.id) > start][:limit]

    def is_complete_after(self, identity: str) -> bool:
        """Nothing that happened behind `identity` is missing from what `after` gives."""
        return not identity or order_of(identity) >= self._dropped_until

    async def follow(self, identity: str) -> AsyncIterator[Fact]:
        """Facts behind `identity` and all later ones; a Reset wherever some in between are gone."""
        last = order_of(identity) if identity else (order_of(self._facts[-1].id) if self._facts else (0, 0))
        told = (0, 0) if identity else self._dropped_until
        while True:
            seen = self._signal.count
            if last < self._dropped_until != told:
                told = self._dropped_until
                yield Fact(id=f"{last[0]}.{last[1]}", event="Reset", data={"reason": "facts behind this id are gone"})
            for fact in [each for each in self._facts if order_of(each.id) > last]:
                last = order_of(fact.id)
                yield fact
            await self._signal.after(seen)
