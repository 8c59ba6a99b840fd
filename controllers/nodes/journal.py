"""Where the node level writes down what it decided, and what keeps it: in the store, and in the audit's chain."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from controllers.gate.audit import AuditLog, AuditRecord
from controllers.gate.joining import AuditFull
from controllers.nodes.model import NodesSeen
from controllers.nodes.observing import ACTOR
from controllers.nodes.operations import PROVISION, RETIRE
from controllers.nodes.records import NodeDecisionRecord, NodeTrouble
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Delete, Operation, Put, Revision, Store, led_by
from runtime.operations import subjects
from runtime.state import keys
from runtime.state.values import encode

KEPT: Final = 100  # 2 to 10 kB each


class NodeJournal:
    """On the leader. Every write holds only while the leadership of its fence does. All raise NotLeader, StoreFault."""

    def __init__(self, *, store: Store, audit: AuditLog, log: Lines) -> None:
        self._store = store
        self._audit = audit
        self._log = log
        self._kept: deque[str] = deque()
        self._trouble = ""

    async def open(self) -> None:
        """What earlier leaders wrote."""
        found = (await self._store.get(keys.NODE_TROUBLE)).item
        self._trouble = msgspec.json.decode(found.value, type=NodeTrouble).why if found is not None else ""
        self._kept = deque(sorted([keys.node_decision(each.id) async for each in read_decisions(self._store)]))

    async def write(self, record: NodeDecisionRecord, fence: int) -> None:
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
        """A record that finds no room in the audit is still in the store."""
        decision = record.decision
        audited = AuditRecord(
            id=record.id,
            kind="decision",
            at_unix_ms=record.at_unix_ms,
            actor=ACTOR,
            operation=PROVISION if decision.add else RETIRE if decision.remove else "",
            subject=subjects.of_node(decision.remove) if decision.remove else subjects.CLUSTER,
            summary=record.summary,
            reason=", ".join(decision.because),
            rule=record.gate.rule,
            proposal=record.gate.proposal,
            detail=msgspec.to_builtins(msgspec.structs.replace(record, seen=_brief(record))),
        )
        try:
            await self._audit.write(audited)
        except AuditFull as error:
            self._log.warning("decision_not_audited", decision=record.id, reason=str(error))


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
