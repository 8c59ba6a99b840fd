"""Where the node level writes down what it decided, and what keeps it: in the store, and in the audit's chain."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from controllers.gate.audit import AuditLog, AuditRecord
from controllers.gate.joining import AuditFull
from controllers.nodes.model import NodesSeen
from controllers.nodes.observing import ACTOR
from controllers.nodes.operations import PROVISION, RETIRE
from controllers.nodes.records import NodeDecisionRecord, NodeOutcome, NodeTrouble
from controllers.scaling.records import OUTCOME_MINUTES, Due
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Delete, Operation, Put, Revision, Store, led_by, unchanged
from runtime.operations import subjects
from runtime.state import keys
from runtime.state.values import encode

KEPT: Final = 100  # 2 to 10 kB each
MINUTE_MS: Final = 60_000


class NodeJournal:
    """On the leader. Every write holds only while the leadership of its fence does. All raise NotLeader, StoreFault."""

    def __init__(self, *, store: Store, audit: AuditLog, new_id: Callable[[], str], log: Lines) -> None:
        self._store = store
        self._audit = audit
        self._new_id = new_id
        self._log = log
        self._kept: deque[str] = deque()
        self._due: list[Due] = []
        self._trouble = ""

    async def open(self) -> None:
        """What earlier leaders wrote."""
        found = (await self._store.get(keys.NODE_TROUBLE)).item
        self._trouble = msgspec.json.decode(found.value, type=NodeTrouble).why if found is not None else ""
        self._kept.clear()
        self._due.clear()
        records = [each async for each in read_decisions(self._store)]
        for record in sorted(records, key=lambda each: each.id):
            self._kept.append(keys.node_decision(record.id))
            self._await_outcomes(record)

    def _await_outcomes(self, record: NodeDecisionRecord) -> None:
        known = {each.after_min for each in record.outcomes}
        for minutes in OUTCOME_MINUTES if record.kind == "change" else ():
            if minutes not in known:
                at_unix_ms = record.at_unix_ms + minutes * MINUTE_MS
                heapq.heappush(self._due, Due(at_unix_ms, keys.node_decision(record.id), "", minutes))

    def due(self, now_unix_ms: int) -> list[Due]:
        """Outcomes whose time has come; each is told once."""
        found = []
        while self._due and self._due[0].at_unix_ms <= now_unix_ms:
            found.append(heapq.heappop(self._due))
        return found

    async def add_outcome(self, due: Due, outcome: NodeOutcome, fence: int) -> None:
        """To a record that is still kept."""
        item = (await self._store.get(due.key)).item
        if item is None:
            return
        record = msgspec.json.decode(item.value, type=NodeDecisionRecord)
        after = msgspec.structs.replace(record, outcomes=(*record.outcomes, outcome))
        await self._store.txn(
            [led_by(Revision(fence)), unchanged(due.key, item.mod_revision)], [Put(key=due.key, value=encode(after))]
        )
        await self._audited(
            AuditRecord(
                id=self._new_id(),
                kind="decision_outcome",
                at_unix_ms=record.at_unix_ms,
                actor=ACTOR,
                operation=_operation(record),
                subject=_subject(record),
                summary=f"nodes: {due.after_min} minutes after {record.id}",
                reason=", ".join(record.decision.because),
                detail={"decision": record.id, **msgspec.to_builtins(outcome)},
            )
        )

    async def write(self, record: NodeDecisionRecord, fence: int) -> None:
        self._await_outcomes(record)
        key = keys.node_decision(record.id)
        surplus = [self._kept.popleft()] if len(self._kept) >= KEPT else []
        self._kept.append(key)
        await self._put(fence, Put(key=key, value=encode(record)), *(Delete(key=each) for each in surplus))
        await self._join(record)

    async def tell(self, why: str, fence: int) -> None:
        """What keeps nodes from coming or going, once; empty when nothing does any more. Events follow."""
        if why == self._trouble:
            return
        self._trouble = why
        if why:
            self._log.warning("nodes_held", reason=why)
            await self._put(fence, Put(key=keys.NODE_TROUBLE, value=encode(NodeTrouble(why=why))))
        else:
            self._log.info("nodes_resumed")
            await self._put(fence, Delete(key=keys.NODE_TROUBLE))

    async def _put(self, fence: int, *operations: Operation) -> None:
        result = await self._store.txn([led_by(Revision(fence))], list(operations))
        if not result.succeeded:
            raise NotLeader("")

    async def _join(self, record: NodeDecisionRecord) -> None:
        await self._audited(
            AuditRecord(
                id=record.id,
                kind="decision",
                at_unix_ms=record.at_unix_ms,
                actor=ACTOR,
                operation=_operation(record),
                subject=_subject(record),
                summary=record.summary,
                reason=", ".join(record.decision.because),
                rule=record.gate.rule,
                proposal=record.gate.proposal,
                detail=msgspec.to_builtins(msgspec.structs.replace(record, seen=_brief(record))),
            )
        )

    async def _audited(self, record: AuditRecord) -> None:
        """One that finds no room in the audit is still in the store."""
        try:
            await self._audit.write(record)
        except AuditFull as error:
            self._log.warning("decision_not_audited", decision=record.id, reason=str(error))


def _operation(record: NodeDecisionRecord) -> str:
    return PROVISION if record.decision.add else RETIRE if record.decision.remove else ""


def _subject(record: NodeDecisionRecord) -> str:
    return subjects.of_node(record.decision.remove) if record.decision.remove else subjects.CLUSTER


def _brief(record: NodeDecisionRecord) -> NodesSeen:
    """Without the nodes that the decision is not about: a record of the audit has 16 KiB."""
    about = tuple(each for each in record.seen.nodes if each.provided)[:20]
    return msgspec.structs.replace(record.seen, nodes=about)


async def read_decisions(store: Store) -> AsyncIterator[NodeDecisionRecord]:
    """Those that are kept, oldest first; what this version cannot read is left out."""
    after, more = "", True
    while more:
        page = await store.range(keys.NODE_DECISIONS, after=after, stale_ok=True)
        for item in page.items:
            try:
                yield msgspec.json.decode(item.value, type=NodeDecisionRecord)
            except msgspec.DecodeError:
                continue
        after, more = page.items[-1].key if page.more else "", page.more
