"""Changes that undo themselves: a metric is watched after a change; beyond its bound the inverse runs, once."""

from __future__ import annotations

from typing import Final

import anyio
import msgspec

from controllers.gate.audit import AuditRecord
from controllers.gate.circumstances import recent_changes
from controllers.gate.desk import GateDesk, Judged
from controllers.gate.leasing import TakenLeases, let_go
from controllers.gate.reviews import opened
from controllers.gate.undone import marked_undone, not_to_undo
from controllers.gate.writing import audit_of, compares, short, writes, written
from runtime.consensus.errors import InvalidRequest, StoreFault, TooLarge
from runtime.consensus.store import Delete, KeyValue, Operation, Put, Revision, absent, led_by, unchanged
from runtime.operations import subjects
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Guard
from runtime.operations.fields import BOUND_MAX
from runtime.operations.plan import Call, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value, encode
from runtime.telemetry.alerts.figures import FigureSource

GUARD_ID: Final = "gate:guard"
LOOK_S: Final = 1.0
SHARE: Final = "errors_share"
METRICS: Final = frozenset({SHARE, "p50_ms", "p95_ms", "p99_ms", "rejected"})
WINDOW_S_MAX: Final = 3_600


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
    trace_id: str = ""


async def armed(leases: TakenLeases, guard: Guard | None, plan: Plan, record: AuditRecord) -> list[Operation]:
    """What arms a guard, written with the change."""
    if guard is None or plan.inverse is None or plan.is_noop:
        return []
    value = ArmedGuard(
        id=record.id,
        guard=guard,
        inverse=plan.inverse,
        subject=record.subject,
        summary=record.summary,
        proposal=record.proposal,
        actor=record.actor,
        trace_id=record.trace_id,
    )
    lease = await leases.grant(guard.window_s * 1_000)
    return [Put(key=keys.guard(record.id), value=encode(value), lease=lease)]


def guard_problem(guard: Guard | None) -> str:
    """What is wrong with it; empty if nothing is."""
    if guard is None:
        return ""
    if guard.metric not in METRICS:
        return f"a guard's metric is one of {', '.join(sorted(METRICS))}"
    if not 0 <= guard.bound <= BOUND_MAX:
        return f"a guard's bound is 0 to {BOUND_MAX}"
    if guard.metric == SHARE and guard.bound >= 1:
        return f"{SHARE} is never above 1: that guard would undo nothing"
    return "" if 1 <= guard.window_s <= WINDOW_S_MAX else f"a guard's window is 1 to {WINDOW_S_MAX} s"


class Guards:
    """`run` is a leader service."""

    def __init__(self, desk: GateDesk, figures: FigureSource) -> None:
        self._desk = desk
        self._figures = figures

    async def run(self, fence: Revision) -> None:
        await self._desk.state.wait_for(fence)
        while True:
            await self.look_at_all(fence)
            await anyio.sleep(LOOK_S)

    async def look_at_all(self, fence: Revision) -> None:
        """One that fails keeps no other from its turn. Raises retryable StoreFaults."""
        for item in self._desk.state.items(keys.GUARDS):
            try:
                await self.look(item, fence)
            except Exception as error:  # a planner may fail in any way: the others' changes are watched all the same
                if isinstance(error, StoreFault) and error.retryable:
                    raise
                self._desk.log.warning("guard_failed", guard=item.key, reason=f"{type(error).__name__}: {error}")

    async def look(self, item: KeyValue, fence: Revision) -> bool:
        """Whether it was breached, and so its change undone or its review opened."""
        watched = msgspec.json.decode(item.value, type=ArmedGuard)
        seen = self._figures.figure(subjects.of_slice(watched.guard.slice), watched.guard.metric)
        if seen is None or seen <= watched.guard.bound:
            return False
        why = f"{watched.guard.metric} of {watched.guard.slice} is {seen:g}, above {watched.guard.bound:g}"
        await self._undo(item, watched, why, fence)
        return True

    async def _undo(self, item: KeyValue, watched: ArmedGuard, why: str, fence: Revision) -> None:
        """One transaction takes the guard away and undoes the change: it cannot happen twice."""
        await self._desk.state.confirmed()
        state = PlanState(self._desk.state)
        if not_to_undo(state, watched.proposal) is not None:
            await self._disarm(item, fence)
            return
        actor = Actor(kind=ActorKind.CONTROLLER, id=GUARD_ID, role=Role.ADMIN, behind=watched.actor)
        problem = await self._tried(item, watched, actor, state, why, fence)
        if problem:
            await self._escalate(item, watched, actor, f"{why}; it could not be undone: {problem}", fence)

    async def _disarm(self, item: KeyValue, fence: Revision) -> None:
        """Somebody undid it already."""
        unmoved = unchanged(item.key, Revision(item.mod_revision))
        if (await self._desk.store.txn([led_by(fence), unmoved], [Delete(key=item.key)])).succeeded:
            await let_go(self._desk.store, item)

    async def _tried(
        self, item: KeyValue, watched: ArmedGuard, actor: Actor, state: PlanState, why: str, fence: Revision
    ) -> str:
        """Why it cannot be undone; empty when it was, or is tried again. What somebody changed since is left alone:
        that would undo their change too."""
        changes = recent_changes(state, watched.subject)
        if not changes or changes[-1].audit != watched.id:
            return f"{watched.subject} was changed again since"
        judged = self._desk.judge(state, watched.inverse, actor, tainted=False, applying=watched.id)
        if isinstance(judged, Refusal):
            return judged.detail
        try:
            await self._write(item, watched, judged, actor, why, fence)
        except (InvalidRequest, TooLarge) as error:
            return str(error)
        return ""

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
            rule=f"the guard that change {watched.id} was made with",
            proposal=watched.proposal,
            revision=int(self._desk.state.revision),
            trace_id=watched.trace_id,
        )
        undone = marked_undone(self._desk.state, watched.proposal, why)
        result = await self._desk.store.txn(
            compares(judged, fence, record, unchanged(item.key, Revision(item.mod_revision))),
            writes(judged, actor, record, Delete(key=item.key), *undone),
        )
        if result.succeeded:
            await let_go(self._desk.store, item)

    async def _escalate(self, item: KeyValue, watched: ArmedGuard, actor: Actor, why: str, fence: Revision) -> None:
        """People must look at it: the guard is gone, a review is open."""
        record = AuditRecord(
            id=self._desk.new_id(),
            kind="rollback_failed",
            at_unix_ms=self._desk.clock.unix_ms(),
            actor=actor,
            operation=watched.inverse.operation,
            subject=watched.subject,
            request=short(self._desk.told(watched.inverse).request),
            summary=watched.summary,
            reason=why,
            proposal=watched.proposal,
            revision_before=int(self._desk.state.revision),
            trace_id=watched.trace_id,
        )
        result = await self._desk.store.txn(
            [led_by(fence), unchanged(item.key, Revision(item.mod_revision)), absent(keys.audit_fresh(record.id))],
            [Delete(key=item.key), written(record), opened(record, "rollback_failed")],
        )
        if result.succeeded:
            await let_go(self._desk.store, item)
            self._desk.log.warning("rollback_failed", change=watched.id, reason=why)
