"""What one node keeps of the cache: by least recent use within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from infra.cache.limits import ENTRY_BYTES, NODE_BYTES_MAX
from runtime.clock import Clock


@dataclass(slots=True)
class Entry:
    """A value until `expires_s`. `copied_to` is the node that has the other copy, as far as this one knows."""

    value: bytes
    expires_s: float
    copied_to: str = ""


class Shelf:
    """Expired entries go when they are touched or when their turn to be evicted comes."""

    def __init__(self, clock: Clock, *, bytes_max: int = NODE_BYTES_MAX) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # the least recently used first
        self.size = 0  # bytes, the sum of `_cost` over `_entries`
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_s <= self._clock.monotonic_s():
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: str, value: bytes, ttl_s: float) -> Entry | None:
        """The new entry; None when it alone is larger than the shelf, or already expired."""
        self.drop(key)
        cost = _cost(key, value)
        if cost > self._bytes_max or ttl_s <= 0:
            return None
        while self.size + cost > self._bytes_max:
            self.drop(next(iter(self._entries)))
            self.evicted += 1
        entry = self._entries[key] = Entry(value, self._clock.monotonic_s() + ttl_s)
        self.size += cost
        return entry

    def drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= _cost(key, entry.value)

    def left_s(self, entry: Entry) -> float:
        return entry.expires_s - self._clock.monotonic_s()


def _cost(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES
