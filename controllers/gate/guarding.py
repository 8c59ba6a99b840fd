"""Changes that undo themselves: a metric is watched after a change; beyond its bound the inverse runs, once."""

from __future__ import annotations

from typing import Final, Protocol

import anyio
import msgspec

from controllers.gate.audit import AuditRecord
from controllers.gate.desk import GateDesk, Judged
from controllers.gate.proposals import Proposal, ProposalEvent, ProposalState, moved
from controllers.gate.writing import audit_of, compares, writes
from runtime.consensus.store import Delete, KeyValue, Operation, Put, Revision, led_by, unchanged
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Guard
from runtime.operations.plan import Call, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value, encode

LOOK_S: Final = 1.0
METRICS: Final = frozenset({"errors_share", "p50_ms", "p95_ms", "p99_ms", "rejected"})
WINDOW_S_MAX: Final = 3_600


class FigureSource(Protocol):
    """Figures of slices, as of the last seconds."""

    def figure(self, slice_name: str, metric: str) -> float | None:
        """None while nothing is known."""
        ...


class ArmedGuard(Value, frozen=True, kw_only=True):
    """Under a lease of the guard's window: gone means that the change stood."""

    id: str
    """Of the audit record of the change."""
    guard: Guard
    inverse: Call
    subject: str
    summary: str
    proposal: str = ""
    actor: Actor


async def armed(desk: GateDesk, guard: Guard | None, inverse: Call | None, record: AuditRecord) -> list[Operation]:
    """What arms a guard, written with the change."""
    if guard is None or inverse is None:
        return []
    value = ArmedGuard(
        id=record.id,
        guard=guard,
        inverse=inverse,
        subject=record.subject,
        summary=record.summary,
        proposal=record.proposal,
        actor=record.actor,
    )
    lease = await desk.store.grant(guard.window_s * 1_000)
    return [Put(key=keys.guard(record.id), value=encode(value), lease=lease)]


def guard_problem(guard: Guard | None) -> str:
    """What is wrong with it; empty if nothing is."""
    if guard is None:
        return ""
    if guard.metric not in METRICS:
        return f"a guard's metric is one of {', '.join(sorted(METRICS))}"
    return "" if 1 <= guard.window_s <= WINDOW_S_MAX else f"a guard's window is 1 to {WINDOW_S_MAX} s"


class Guards:
    """`run` is a leader service."""

    def __init__(self, desk: GateDesk, figures: FigureSource) -> None:
        self._desk = desk
        self._figures = figures

    async def run(self, fence: Revision) -> None:
        await self._desk.state.wait_for(fence)
        while True:
            for item in self._desk.state.items(keys.GUARDS):
                await self.look(item, fence)
            await anyio.sleep(LOOK_S)

    async def look(self, item: KeyValue, fence: Revision) -> bool:
        """Whether it was breached, and so its change undone."""
        watched = msgspec.json.decode(item.value, type=ArmedGuard)
        seen = self._figures.figure(watched.guard.slice, watched.guard.metric)
        if seen is None or seen <= watched.guard.bound:
            return False
        why = f"{watched.guard.metric} of {watched.guard.slice} is {seen:g}, above {watched.guard.bound:g}"
        await self._undo(item, watched, why, fence)
        return True

    async def _undo(self, item: KeyValue, watched: ArmedGuard, why: str, fence: Revision) -> None:
        """One transaction takes the guard away and undoes the change: it cannot happen twice."""
        state = PlanState(self._desk.state)
        actor = Actor(kind=ActorKind.CONTROLLER, id="gate:guard", role=Role.ADMIN, behind=watched.actor)
        still = unchanged(item.key, Revision(item.mod_revision))
        judged = self._desk.judge(state, watched.inverse, actor, tainted=False)
        if isinstance(judged, Refusal):
            record = self._failed(watched, actor, f"{why}; it could not be undone: {judged.detail}")
            operations: list[Operation] = [
                Delete(key=item.key),
                Put(key=keys.audit_fresh(record.id), value=encode(record)),
            ]
            await self._desk.store.txn([led_by(fence), still], operations)
            self._desk.log.warning("rollback_failed", change=watched.id, reason=judged.detail)
            return
        await self._write(item, watched, judged, actor, why, fence)

    async def _write(
        self, item: KeyValue, watched: ArmedGuard, judged: Judged, actor: Actor, why: str, fence: Revision
    ) -> None:
        record = audit_of(
            judged,
            kind="rolled_back",
            identity=self._desk.new_id(),
            actor=actor,
            request=watched.inverse.request,
            reason=why,
            proposal=watched.proposal,
        )
        extra: list[Operation] = [Delete(key=item.key), *self._proposal(watched, why)]
        await self._desk.store.txn(
            compares(judged, fence, unchanged(item.key, Revision(item.mod_revision))),
            writes(judged, actor, record, *extra),
        )

    def _proposal(self, watched: ArmedGuard, why: str) -> list[Operation]:
        item = self._desk.state.get(keys.proposal(watched.proposal)) if watched.proposal else None
        if item is None:
            return []
        proposal = msgspec.json.decode(item.value, type=Proposal)
        if proposal.state is not ProposalState.APPLIED:
            return []
        return [Put(key=item.key, value=encode(moved(proposal, ProposalEvent.ROLLED_BACK, why)))]

    def _failed(self, watched: ArmedGuard, actor: Actor, why: str) -> AuditRecord:
        return AuditRecord(
            id=self._desk.new_id(),
            kind="rollback_failed",
            at_unix_ms=self._desk.clock.unix_ms(),
            actor=actor,
            operation=watched.inverse.operation,
            subject=watched.subject,
            summary=watched.summary,
            reason=why,
            proposal=watched.proposal,
        )
