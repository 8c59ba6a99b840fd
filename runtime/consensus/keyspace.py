"""The keys and values: of the newest revision in order, and of earlier ones as far back as history goes."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterator

from runtime.consensus.store import KeyValue, Revision
from runtime.state.quotas import quota_of


def key_bytes(key: str) -> int:
    """As UTF-8, which is what limits and quotas count."""
    return len(key) if key.isascii() else len(key.encode())


class Keyspace:
    """Keys in sorted order; the index is sorted lazily so that a run of inserts costs one sort."""

    def __init__(self) -> None:
        self._items: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._unsorted = False
        self._past: dict[str, list[KeyValue]] = {}  # replaced values and deletions (version 0), oldest first
        self._bytes: dict[str, int] = {}
        self.bytes_total = 0

    def __len__(self) -> int:
        return len(self._items)

    # -- now -----------------------------------------------------------------------------------------------------------

    def get(self, key: str) -> KeyValue | None:
        return self._items.get(key)

    def put(self, item: KeyValue) -> int:
        """Gives the bytes of the value that it replaced."""
        before = self._items.get(item.key)
        if before is None:
            self._sorted.append(item.key)
            self._unsorted = True
        else:
            self._past.setdefault(item.key, []).append(before)
        self._items[item.key] = item
        self._weigh(item.key, len(item.value) - (len(before.value) if before else -key_bytes(item.key)))
        return len(before.value) if before else 0

    def delete(self, key: str, revision: Revision) -> KeyValue | None:
        """What was there."""
        item = self._items.pop(key, None)
        if item is not None:
            self._order()
            del self._sorted[bisect.bisect_left(self._sorted, key)]
            self._weigh(key, -len(item.value) - key_bytes(key))
            gone = KeyValue(key=key, value=b"", create_revision=Revision(0), mod_revision=revision, version=0)
            self._past.setdefault(key, []).extend((item, gone))
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

    def picture(self) -> list[KeyValue]:
        """All items as they are now, in no order: items are never changed, only replaced."""
        return list(self._items.values())

    def weight(self, part: str) -> int:
        """Bytes of keys and values of a part of the key space, as `quota_of` names it."""
        return self._bytes.get(part, 0)

    @property
    def weights(self) -> dict[str, int]:
        """Bytes of keys and values by part."""
        return self._bytes

    # -- the past ------------------------------------------------------------------------------------------------------

    def get_at(self, key: str, revision: Revision) -> KeyValue | None:
        """As it stood then. Only for revisions that were not compacted."""
        item = self._items.get(key)
        if item is not None and item.mod_revision <= revision:
            return item
        for past in reversed(self._past.get(key, ())):
            if past.mod_revision <= revision:
                return past if past.version else None
        return None

    def below_at(self, prefix: str, revision: Revision, *, after: str = "") -> Iterator[KeyValue]:
        """As `below`, as it stood then. A page costs what it gives, and a look at each key that history names."""
        gone = sorted(key for key in self._past if key not in self._items and key.startswith(prefix) and key > after)
        for key in heapq.merge((item.key for item in self.below(prefix, after=after)), gone):
            item = self.get_at(key, revision)
            if item is not None:
                yield item

    def forget(self, keys: Iterator[str], compacted: Revision) -> None:
        """Lets go of what no revision from `compacted` on can see; `keys` are those that changed before."""
        for key in keys:
            past = self._past.get(key)
            if past is None:
                continue
            item = self._items.get(key)
            later = [each.mod_revision for each in past[1:]] + [item.mod_revision if item else compacted + 1]
            kept = [each for each, replaced_at in zip(past, later, strict=True) if replaced_at > compacted]
            if len(kept) == 1 and not kept[0].version and kept[0].mod_revision <= compacted:
                kept = []
            if kept:
                self._past[key] = kept
            else:
                del self._past[key]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _order(self) -> None:
        if self._unsorted:
            self._sorted.sort()  # nearly sorted: close to linear
            self._unsorted = False

    def _weigh(self, key: str, change: int) -> None:
        part, _ = quota_of(key)
        self._bytes[part] = self._bytes.get(part, 0) + change
        self.bytes_total += change
