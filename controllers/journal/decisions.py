"""Where decision records are kept: in the store, bounded in number, and each one joined to the audit's chain."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import msgspec

from controllers.gate.audit import AuditLog, AuditRecord
from controllers.gate.joining import AuditFull
from controllers.scaling.records import (
    OUTCOME_MINUTES,
    DecisionOutcome,
    DecisionRecord,
    Due,
    Oddity,
    Trouble,
    plain,
)
from controllers.scaling.standing import ACTOR
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Delete, Operation, Put, Revision, Store, led_by, unchanged
from runtime.state import keys
from runtime.state.values import encode

KEPT_PER_SLICE: Final = 20
KEPT: Final = 1_000  # 2 to 4 kB each
MINUTE_MS: Final = 60_000


class StoreJournal:
    """Implements Journal, on the leader. `open` reads what earlier leaders wrote: their decisions get outcomes too."""

    def __init__(self, *, store: Store, audit: AuditLog, new_id: Callable[[], str], log: Lines) -> None:
        self._store = store
        self._audit = audit
        self._new_id = new_id
        self._log = log
        self._kept: deque[str] = deque()
        self._of_slice: dict[str, deque[str]] = {}
        self._due: list[Due] = []

    async def open(self) -> None:
        """Raises StoreFault."""
        self._kept.clear()
        self._of_slice.clear()
        self._due.clear()
        records = [record async for record in read_records(self._store)]
        for record in sorted(records, key=lambda each: each.id):
            self._note(record)

    def _note(self, record: DecisionRecord) -> None:
        key = keys.decision(record.slice, record.id)
        self._kept.append(key)
        self._of_slice.setdefault(record.slice, deque()).append(key)
        known = {each.after_min for each in record.outcomes}
        for minutes in OUTCOME_MINUTES:
            if record.kind == "change" and minutes not in known:
                heapq.heappush(self._due, Due(record.at_unix_ms + minutes * MINUTE_MS, key, record.slice, minutes))

    async def write(self, record: DecisionRecord, fence: int) -> None:
        """Into the store and the audit; what is one too many goes. Raises NotLeader, StoreFault."""
        self._note(record)
        await self._put(
            fence,
            Put(key=keys.decision(record.slice, record.id), value=encode(record)),
            *(Delete(key=key) for key in self._surplus(record.slice)),
        )
        await self._join(record, "decision", record.summary, plain(record))

    async def hold(self, slice_name: str, why: str, fence: int) -> None:
        """Tells that a slice's figures cannot be used. Raises NotLeader, StoreFault."""
        await self._put(fence, Put(key=keys.scaling_trouble(slice_name), value=encode(Trouble(why=why))))

    async def resume(self, slice_name: str, fence: int) -> None:
        """Tells that they can. Raises NotLeader, StoreFault."""
        await self._put(fence, Delete(key=keys.scaling_trouble(slice_name)))

    async def note(self, odd: Oddity, fence: int) -> None:
        """Tells what was passed over in one second. Raises NotLeader, StoreFault."""
        await self._put(fence, Put(key=keys.SCALING_ODDITY, value=encode(odd)))

    async def _put(self, fence: int, *operations: Operation) -> None:
        """Raises NotLeader, StoreFault."""
        result = await self._store.txn([led_by(Revision(fence))], list(operations))
        if not result.succeeded:
            raise NotLeader("")

    def _surplus(self, slice_name: str) -> Iterator[str]:
        of_slice = self._of_slice[slice_name]
        if len(of_slice) > KEPT_PER_SLICE:
            key = of_slice.popleft()
            self._kept.remove(key)
            yield key
        if len(self._kept) > KEPT:
            key = self._kept.popleft()
            self._of_slice[keys.parts(key)[0]].remove(key)
            yield key

    def due(self, now_unix_ms: int) -> list[Due]:
        """Those whose time has come; each is told once."""
        found = []
        while self._due and self._due[0].at_unix_ms <= now_unix_ms:
            found.append(heapq.heappop(self._due))
        return found

    async def add_outcome(self, due: Due, outcome: DecisionOutcome, fence: int) -> None:
        """To a record that is still kept. Raises StoreFault."""
        item = (await self._store.get(due.key)).item
        if item is None:
            return
        record = msgspec.json.decode(item.value, type=DecisionRecord)
        after = msgspec.structs.replace(record, outcomes=(*record.outcomes, outcome))
        await self._store.txn(
            [led_by(Revision(fence)), unchanged(due.key, item.mod_revision)], [Put(key=due.key, value=encode(after))]
        )
        summary = f"{record.slice}: {due.after_min} minutes after {record.id}"
        await self._join(record, "decision_outcome", summary, msgspec.to_builtins(outcome))

    async def _join(self, record: DecisionRecord, kind: str, summary: str, detail: dict[str, object]) -> None:
        """A record that finds no room in the audit is still in the store."""
        identity = record.id if kind == "decision" else self._new_id()
        audited = AuditRecord(
            id=identity,
            kind=kind,
            at_unix_ms=record.at_unix_ms,
            actor=ACTOR,
            operation="slice.scale" if record.kind == "change" else "",
            subject=f"slice:{record.slice}",
            summary=summary,
            reason=", ".join(record.decision.because),
            rule=record.gate.rule,
            proposal=record.gate.proposal,
            detail={"decision": record.id, **detail},
        )
        try:
            await self._audit.write(audited)
        except AuditFull as error:
            self._log.warning("decision_not_audited", decision=record.id, reason=str(error))


async def read_records(store: Store, slice_name: str = "") -> AsyncIterator[DecisionRecord]:
    """Those that the store has, of one slice or of all; what this version cannot read is left out."""
    prefix = keys.decisions_of(slice_name) if slice_name else keys.DECISIONS
    after, more = "", True
    while more:
        page = await store.range(prefix, after=after, stale_ok=True)
        for item in page.items:
            try:
                yield msgspec.json.decode(item.value, type=DecisionRecord)
            except msgspec.DecodeError:
                continue
        after, more = page.items[-1].key if page.more else "", page.more
