"""All changes of one revision as items of a stream, and back: a transaction may change more than one item takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from runtime.consensus.decoding import decoder
from runtime.consensus.store import WatchBatch, WatchEvent
from runtime.invocation.streams import ITEM_BYTES_MAX

PART_BYTES: Final = ITEM_BYTES_MAX // 2
_EVENT_BYTES: Final = 256  # of names and numbers, at most


class WatchPart(WatchBatch, frozen=True, kw_only=True, omit_defaults=True):
    """`more` says that other changes of the same revision follow. Without it, it reads as a batch."""

    more: bool = False


_encode: Final = msgspec.msgpack.Encoder().encode
decode_part: Final = decoder(WatchPart)


def encode_batch(batch: WatchBatch) -> Iterator[bytes]:
    whole = _encode(batch)
    if len(whole) <= ITEM_BYTES_MAX:
        yield whole
        return
    some: list[WatchEvent] = []
    size = 0
    for event in batch.events:
        more = len(event.item.key.encode()) + len(event.item.value) + _EVENT_BYTES
        if some and size + more > PART_BYTES:
            yield _encode(WatchPart(revision=batch.revision, events=tuple(some), more=True))
            some, size = [], 0
        some.append(event)
        size += more
    yield _encode(WatchPart(revision=batch.revision, events=tuple(some)))


class Joined:
    """What has come of a revision; to be made anew with each stream."""

    def __init__(self) -> None:
        self._events: list[WatchEvent] = []

    def add(self, part: WatchPart) -> WatchBatch | None:
        """The batch, once it is whole."""
        self._events += part.events
        if part.more:
            return None
        events, self._events = tuple(self._events), []
        return WatchBatch(revision=part.revision, events=events)
