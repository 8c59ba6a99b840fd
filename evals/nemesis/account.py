"""What clients were promised in one cycle, and whether it was kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from evals.nemesis.errors import PromiseBroken
from runtime.consensus.store import KeyValue, Revision, Store

FUNDS = ("funds/left", "funds/right")
TOTAL = 1_000


@dataclass(slots=True)
class Account:
    """All keys of the cycle lie below `prefix`. A write whose outcome is not known may be there, once, or not."""

    prefix: str
    acknowledged: dict[str, Revision] = field(default_factory=dict)  # keys that are written once, each with a twin
    unknown: set[str] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)  # counter → acknowledged increments
    perhaps: Counter[str] = field(default_factory=Counter)  # counter → increments under way, or of unknown outcome
    highest: Counter[str] = field(default_factory=Counter)  # counter → highest value whose write was acknowledged
    commands: int = 0
    failed: int = 0
    reads: int = 0
    leases: int = 0
    longest_gap_s: float = 0.0  # between two acknowledged changes of anybody
    acknowledged_s: float = field(default_factory=time.monotonic)

    def answered(self) -> None:
        """A change was acknowledged just now."""
        now_s = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now_s - self.acknowledged_s)
        self.acknowledged_s = now_s

    async def check(self, store: Store) -> None:
        """Raises PromiseBroken unless the store holds exactly what was promised."""
        items = await all_below(store, self.prefix)
        for key, revision in self.acknowledged.items():
            item = items.get(self.prefix + key)
            if item is None:
                raise PromiseBroken(f"{self.prefix}{key} was acknowledged at revision {revision} and is gone")
            if item.version != 1 or item.mod_revision != revision:
                raise PromiseBroken(f"{item.key} was acknowledged at revision {revision} and is now {item}")
        for key in self.acknowledged.keys() | self.unknown:
            self._check_twins(items.get(self.prefix + key), items.get(self.prefix + twin(key)))
        for key in self.perhaps:
            found = int(items[self.prefix + key].value) if self.prefix + key in items else 0
            least = max(self.counted[key], self.highest[key])
            if not least <= found <= self.counted[key] + self.perhaps[key]:
                raise PromiseBroken(
                    f"{self.prefix}{key} is {found}: {self.counted[key]} increments were acknowledged, the last one "
                    f"gave {self.highest[key]}, and {self.perhaps[key]} are of unknown outcome"
                )
        self.check_funds([items.get(self.prefix + key) for key in FUNDS])

    def check_funds(self, items: list[KeyValue | None]) -> None:
        """What one key gains the other loses, in one transaction; nobody may see it in between."""
        held = [int(item.value) for item in items if item is not None]
        if held and (len(held) != len(FUNDS) or sum(held) != TOTAL):
            raise PromiseBroken(f"{self.prefix}funds hold {held}, which is not {TOTAL} together")

    def _check_twins(self, item: KeyValue | None, other: KeyValue | None) -> None:
        if (item is None) != (other is None):
            raise PromiseBroken(f"half of a transaction is there: {item} and {other}")
        if item is not None and other is not None and (item.version, item.mod_revision) != (1, other.mod_revision):
            raise PromiseBroken(f"a transaction was applied twice or in two parts: {item} and {other}")


def twin(key: str) -> str:
    return f"twin/{key}"


async def all_below(store: Store, prefix: str) -> dict[str, KeyValue]:
    """One picture of all keys below it, as they are now."""
    found = await store.range(prefix)
    items = {item.key: item for item in found.items}
    revision = found.revision
    while found.more:
        found = await store.range(prefix, after=found.items[-1].key, at_revision=revision)
        items |= {item.key: item for item in found.items}
    return items
