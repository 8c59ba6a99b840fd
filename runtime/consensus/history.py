"""What changed lately, revision by revision: watches start from it, and reads of the past are bounded by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from runtime.consensus.errors import Compacted
from runtime.consensus.store import Revision, WatchBatch

BATCHES_MAX: Final = 10_000  # revisions that a watch can go back
BYTES_MAX: Final = 32 * 1024 * 1024  # of keys and values, those that were replaced included
_EVENT_BYTES: Final = 64
NOTHING: Final = Revision(0)


class History:
    """`compacted` is the newest revision whose changes are no longer known."""

    def __init__(self, compacted: Revision = NOTHING) -> None:
        self.compacted = compacted
        self._batches: deque[tuple[WatchBatch, int]] = deque()  # with what keeping it costs
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def since(self, prefix: str | tuple[str, ...], from_revision: Revision) -> list[WatchBatch]:
        """What changed below the prefix from that revision on. Raises Compacted when that is no longer known."""
        if from_revision <= self.compacted:
            raise Compacted(self.compacted + 1)
        found = []
        for batch, _ in reversed(self._batches):
            if batch.revision < from_revision:
                break
            events = tuple(event for event in batch.events if event.item.key.startswith(prefix))
            if events:
                found.append(WatchBatch(revision=batch.revision, events=events))
        found.reverse()
        return found

    def add(self, batch: WatchBatch, replaced_bytes: int) -> None:
        """`replaced_bytes` are the values that only reads of the past still need."""
        weight = replaced_bytes + sum(
            len(event.item.key) + len(event.item.value) + _EVENT_BYTES for event in batch.events
        )
        self._batches.append((batch, weight))
        self._bytes += weight

    def surplus(self) -> Iterator[WatchBatch]:
        """Lets go of what is beyond the limits, oldest first."""
        while len(self._batches) > BATCHES_MAX or self._bytes > BYTES_MAX:
            yield self._drop()

    def compact(self, revision: Revision) -> Iterator[WatchBatch]:
        """Lets go of everything up to and including `revision`."""
        while self._batches and self._batches[0][0].revision <= revision:
            yield self._drop()
        self.compacted = Revision(max(self.compacted, revision))

    def _drop(self) -> WatchBatch:
        batch, weight = self._batches.popleft()
        self._bytes -= weight
        self.compacted = batch.revision
        return batch
