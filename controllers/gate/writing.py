"""The one transaction that applies a change: what was read is compared, what follows is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from controllers.gate.audit import AuditRecord
from controllers.gate.circumstances import RECENT_MAX, RecentChange, RecentChanges
from controllers.gate.desk import Judged
from runtime.consensus.store import Compare, Operation, Put, Revision, Store, led_by
from runtime.operations.actor import Actor
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import encode

TURN_MS_MIN: Final = 30_000


def compares(judged: Judged, fence: Revision, *more: Compare) -> list[Compare]:
    """The leadership stands, and nothing that plan, gate and votes read has changed."""
    return [led_by(fence), *judged.plan.compares(), *more]


def writes(judged: Judged, actor: Actor, record: AuditRecord, *more: Operation) -> list[Operation]:
    """The change, its audit record, and its trace for the limits on how often a subject may change."""
    found: list[Operation] = [*judged.plan.writes(), Put(key=keys.audit_fresh(record.id), value=encode(record)), *more]
    if not judged.plan.is_noop:
        found.append(_recent(judged, actor))
    return found


async def turn_taken(store: Store, judged: Judged, actor: Actor) -> list[Operation]:
    """An agent's change keeps other agents out of its failure domain until it should have taken hold."""
    if not actor.acts_as_agent or judged.plan.is_noop:
        return []
    lease = await store.grant(max(TURN_MS_MIN, 2 * judged.plan.estimated_ms))
    return [Put(key=keys.agent_turn(judged.circumstances.domain), value=judged.plan.summary.encode(), lease=lease)]


def _recent(judged: Judged, actor: Actor) -> Put:
    now = judged.circumstances
    mine = RecentChange(
        at_unix_ms=now.now_unix_ms,
        actor=actor.id,
        by_agent=actor.acts_as_agent,
        operation=judged.plan.operation,
        direction=judged.plan.direction,
    )
    changes = RecentChanges(changes=(*now.recent, mine)[-RECENT_MAX:])
    return Put(key=keys.recent(judged.plan.subject), value=encode(changes))


def audit_of(
    judged: Judged,
    *,
    kind: str,
    identity: str,
    actor: Actor,
    request: dict[str, Json],
    reason: str = "",
    effect: str = "",
    proposal: str = "",
    revision: int = 0,
    trace_id: str = "",
    votes: Sequence[object] = (),
) -> AuditRecord:
    return AuditRecord(
        id=identity,
        kind=kind,
        at_unix_ms=judged.circumstances.now_unix_ms,
        actor=actor,
        operation=judged.plan.operation,
        subject=judged.plan.subject,
        request=short(request),
        summary=judged.plan.summary,
        reason=reason,
        rule=judged.verdict.reasons,
        gate_class=int(judged.verdict.gate_class),
        effect=effect,
        proposal=proposal,
        revision_before=revision,
        trace_id=trace_id,
        detail={"votes": msgspec.to_builtins(list(votes))} if votes else {},
    )


def short(request: dict[str, Json]) -> dict[str, Json]:
    """A request as it is kept: long texts, such as a blueprint's source, are named by their length."""
    return {
        name: value if not isinstance(value, str) or len(value) <= 400 else f"({len(value)} characters)"
        for name, value in request.items()
    }
