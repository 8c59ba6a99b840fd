"""The newest facts, kept in order, for those who ask later or follow along."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from runtime.consensus.signal import Signal
from runtime.consensus.store import Revision, Store, WatchBatch
from runtime.telemetry.facts import Fact, facts_of, order_of

FACTS_MAX: Final = 10_000  # about 3 MB; older ones are gone, and `follow` says so with a Reset


class FactLog:
    """Fed with every batch of one watch, from the revision it began at."""

    def __init__(self) -> None:
        self._facts: deque[Fact] = deque(maxlen=FACTS_MAX)
        self._values: dict[str, bytes] = {}
        self._signal = Signal()
        self._dropped_until = (0, 0)

    async def run(self, store: Store, prefixes: tuple[str, ...]) -> None:
        """Follows the store. Reads the present first, so that what changes later can be compared with it."""
        after = ""
        oldest = Revision(0)
        for prefix in prefixes:
            after = ""
            while True:
                page = await store.range(prefix, after=after, stale_ok=True)
                oldest = page.revision if not oldest else min(oldest, page.revision)
                self._values |= {item.key: item.value for item in page.items}
                if not page.more:
                    break
                after = page.items[-1].key
        self._dropped_until = (oldest, 1 << 30)
        async for batch in store.watch(prefixes, from_revision=Revision(oldest + 1)):
            self.take(batch)

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
        self._signal.fire()

    def after(self, identity: str, limit: int) -> list[Fact]:
        """The facts behind `identity`, oldest first; the newest `limit` of all when it is empty."""
        if not identity:
            return list(self._facts)[-limit:]
        start = order_of(identity)
        return [fact for fact in self._facts if order_of(fact.id) > start][:limit]

    async def follow(self, identity: str) -> AsyncIterator[Fact]:
        """Facts behind `identity` and all later ones; a Reset first when some in between are gone."""
        last = order_of(identity) if identity else (order_of(self._facts[-1].id) if self._facts else (0, 0))
        if identity and last < self._dropped_until:
            yield Fact(id=identity, event="Reset", data={"reason": "facts between this id and the next are gone"})
        while True:
            seen = self._signal.count
            for fact in [each for each in self._facts if order_of(each.id) > last]:
                last = order_of(fact.id)
                yield fact
            await self._signal.after(seen)
