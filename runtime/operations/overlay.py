"""The state as it would be after changes that nobody has made: what later steps of a plan read."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.consensus.store import KeyValue, Revision
from runtime.deployment.records import Snapshot
from runtime.operations.plan import KeyChange


class EmptyState:
    """A state that holds nothing."""

    revision = Revision(0)

    def get(self, _key: str) -> KeyValue | None:
        return None

    def items(self, _prefix: str) -> list[KeyValue]:
        return []


class Overlay:
    """A snapshot over another one; each batch of changes is one revision more."""

    def __init__(self, below: Snapshot | None = None) -> None:
        self._below: Snapshot = below if below is not None else EmptyState()
        self._changed: dict[str, KeyValue | None] = {}
        self._batches = 0

    @property
    def revision(self) -> Revision:
        return Revision(self._below.revision + self._batches)

    def take(self, changes: Iterable[KeyChange]) -> None:
        self._batches += 1
        for each in changes:
            self._changed[each.key] = self._item(each.key, each.after) if each.after is not None else None

    def get(self, key: str) -> KeyValue | None:
        return self._changed[key] if key in self._changed else self._below.get(key)

    def items(self, prefix: str) -> list[KeyValue]:
        found = {item.key: item for item in self._below.items(prefix)}
        for key, item in self._changed.items():
            if not key.startswith(prefix):
                continue
            if item is None:
                found.pop(key, None)
            else:
                found[key] = item
        return [found[key] for key in sorted(found)]

    def _item(self, key: str, value: bytes) -> KeyValue:
        before = self.get(key)
        created = before.create_revision if before is not None else self.revision
        version = before.version + 1 if before is not None else 1
        return KeyValue(key=key, value=value, create_revision=created, mod_revision=self.revision, version=version)
