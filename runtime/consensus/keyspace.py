"""The keys and values as of the newest revision, in order, with what they weigh."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from runtime.consensus.store import KeyValue
from runtime.state.quotas import quota_of


class Keyspace:
    """Keys in sorted order; the index is sorted lazily so that a run of inserts costs one sort."""

    def __init__(self) -> None:
        self._items: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._unsorted = False
        self._bytes: dict[str, int] = {}
        self.bytes_total = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> KeyValue | None:
        return self._items.get(key)

    def put(self, item: KeyValue) -> None:
        before = self._items.get(item.key)
        if before is None:
            self._sorted.append(item.key)
            self._unsorted = True
        self._items[item.key] = item
        self._weigh(item.key, len(item.value) - (len(before.value) if before else -len(item.key)))

    def delete(self, key: str) -> KeyValue | None:
        item = self._items.pop(key, None)
        if item is not None:
            self._order()
            del self._sorted[bisect.bisect_left(self._sorted, key)]
            self._weigh(key, -len(item.value) - len(key))
        return item

    def below(self, prefix: str, *, after: str = "") -> Iterator[KeyValue]:
        """In order, those behind `after` only. The keyspace must not change meanwhile."""
        self._order()
        start = max(prefix, after)
        at = (
            bisect.bisect_right(self._sorted, after)
            if after >= prefix and after
            else bisect.bisect_left(self._sorted, start)
        )
        while at < len(self._sorted) and self._sorted[at].startswith(prefix):
            yield self._items[self._sorted[at]]
            at += 1

    def weight(self, part: str) -> int:
        """Bytes of keys and values of a part of the key space, as `quota_of` names it."""
        return self._bytes.get(part, 0)

    def _order(self) -> None:
        if self._unsorted:
            self._sorted.sort()  # nearly sorted: close to linear
            self._unsorted = False

    def _weigh(self, key: str, change: int) -> None:
        part, _ = quota_of(key)
        self._bytes[part] = self._bytes.get(part, 0) + change
        self.bytes_total += change
