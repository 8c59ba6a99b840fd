"""History that nobody needs any more goes: ended proposals, old traces of changes, and keys that ended long ago."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import anyio
import msgspec

from controllers.gate.circumstances import RecentChanges
from controllers.gate.desk import GateDesk
from controllers.gate.proposals import read_proposal
from runtime.consensus.store import Compare, Delete, KeyValue, Operation, Revision, led_by, unchanged
from runtime.security.principals import decode_key
from runtime.state import keys

ENDED_MAX: Final = 500  # proposals that ended: some days of a busy cluster; the audit has them all
ENDED_BYTES_MAX: Final = 3 * 1024 * 1024  # a blueprint's source makes 50 KiB; new ones are refused from 6 MiB on
UNDO_MAX: Final = 500
UNDO_BYTES_MAX: Final = 4 * 1024 * 1024  # of 8 MiB: a minute's changes still find room
RECENT_MS: Final = 24 * 60 * 60 * 1_000  # no limit of any policy looks further back
KEY_MS: Final = 7 * 24 * 60 * 60 * 1_000  # after its end: until then its owner still sees why it is refused
LOOK_S: Final = 60.0
BATCH: Final = 100


class Trimmer:
    """`run` is a leader service."""

    def __init__(self, desk: GateDesk) -> None:
        self._desk = desk

    async def run(self, fence: Revision) -> None:
        await self._desk.state.wait_for(fence)
        while True:
            await self.trim(fence)
            await anyio.sleep(LOOK_S)

    async def trim(self, fence: Revision) -> int:
        """How many keys went. Raises StoreFault."""
        old = [*self._proposals(), *self._undos(), *self._recent(), *self._keys()]
        for at in range(0, len(old), BATCH):
            await self._delete(old[at : at + BATCH], fence)
        return len(old)

    async def _delete(self, items: Sequence[KeyValue], fence: Revision) -> None:
        """One that changed meanwhile, or another leader, leaves all of them to the next time."""
        compare: list[Compare] = [led_by(fence), *(unchanged(item.key, item.mod_revision) for item in items)]
        gone: list[Operation] = [Delete(key=item.key) for item in items]
        await self._desk.store.txn(compare, gone)

    def _proposals(self) -> Iterator[KeyValue]:
        """The oldest that ended; their ids tell the order. One that a newer version wrote is left to it."""
        ended = [
            item
            for item in self._desk.state.items(keys.PROPOSALS)
            if (proposal := read_proposal(item.value)) is not None and not proposal.waits
        ]
        size = 0
        for number, item in enumerate(reversed(ended)):
            whole = self._desk.state.get(keys.proposal_whole(keys.parts(item.key)[0]))
            size += max(len(item.value), len(whole.value) if whole is not None else 0)
            if number >= ENDED_MAX or size > ENDED_BYTES_MAX:
                yield item
                yield from (whole,) if whole is not None else ()

    def _undos(self) -> Iterator[KeyValue]:
        size = 0
        for number, item in enumerate(reversed(self._desk.state.items(keys.UNDO))):
            size += len(item.value)
            if number >= UNDO_MAX or size > UNDO_BYTES_MAX:
                yield item

    def _recent(self) -> Iterator[KeyValue]:
        before = self._desk.clock.unix_ms() - RECENT_MS
        for item in self._desk.state.items(keys.RECENT):
            try:
                changes = msgspec.json.decode(item.value, type=RecentChanges).changes
            except msgspec.DecodeError:
                continue
            if all(each.at_unix_ms < before for each in changes):
                yield item

    def _keys(self) -> Iterator[KeyValue]:
        before = self._desk.clock.unix_ms() - KEY_MS
        for item in self._desk.state.items(keys.API_KEYS):
            try:
                ends = decode_key(item.value).expires_unix_ms
            except msgspec.DecodeError:
                continue
            if 0 < ends < before:
                yield item
