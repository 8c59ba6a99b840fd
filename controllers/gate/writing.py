"""The one transaction that applies a change: what was read is compared, what follows is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from controllers.gate.audit import TOUCHED, AuditRecord, fitted
from controllers.gate.circumstances import RecentChange, touched, with_change
from controllers.gate.desk import Judged
from controllers.gate.leasing import TakenLeases
from controllers.gate.proposals import Proposal
from controllers.gate.uncut import PACKED_BYTES_MAX, Undo, packed
from runtime.consensus.store import Compare, Delete, Operation, Put, Revision, absent, led_by
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Applied
from runtime.operations.plan import Json
from runtime.operations.secrecy import told_request
from runtime.state import keys
from runtime.state.values import encode

INVERSE_BYTES_MAX: Final = 2 * 1024  # half of what a record's detail may have
TOUCHED_MAX: Final = 20  # a kilobyte of names
MADE: Final = ("applied", "break_glass")
"""Kinds of records that tell of a change."""
TURN_MS_MIN: Final = 30_000
VALUE_CHARS_MAX: Final = 400


def compares(judged: Judged, fence: Revision, record: AuditRecord, *more: Compare) -> list[Compare]:
    """The leadership stands, nothing that plan, gate and votes read has changed, and the record replaces no other."""
    return [led_by(fence), *judged.plan.compares(), absent(keys.audit_fresh(record.id)), *more]


def writes(judged: Judged, actor: Actor, record: AuditRecord, *more: Operation) -> list[Operation]:
    """The change, its audit record, and its trace for the limits on how often a subject may change."""
    found: list[Operation] = [*judged.plan.writes(), written(record), *more]
    if judged.plan.is_noop:
        return found
    return [*found, *_kept_undo(judged, record), *_recent(judged, actor, record.id)]


def applied_as(judged: Judged, record: AuditRecord) -> Applied:
    """What is answered; its revision is that of the transaction."""
    plan = judged.plan
    return Applied(
        revision=0,
        operation=plan.operation,
        subject=plan.subject,
        summary=plan.summary,
        result=plan.result,
        gate_class=judged.verdict.gate_class.name,
        rule=judged.verdict.reasons,
        audit=record.id,
        inverse=plan.inverse,
    )


def written(record: AuditRecord) -> Put:
    return Put(key=keys.audit_fresh(record.id), value=encode(fitted(record)))


def stored(proposal: Proposal) -> list[Operation]:
    """The proposal as it is now; with its end, what says that it waits goes."""
    put = Put(key=keys.proposal(proposal.id), value=encode(proposal))
    if proposal.waits:
        return [put]
    return [put, Delete(key=keys.proposal_live(proposal.id)), Delete(key=keys.proposal_open(proposal.id))]


async def turn_taken(leases: TakenLeases, judged: Judged, actor: Actor) -> list[Operation]:
    """An agent's change keeps other agents out of its failure domain until it should have taken hold."""
    if not actor.acts_as_agent or judged.plan.is_noop:
        return []
    lease = await leases.grant(max(TURN_MS_MIN, 2 * judged.plan.estimated_ms))
    words = judged.plan.summary.encode()
    return [Put(key=keys.agent_turn(each), value=words, lease=lease) for each in judged.circumstances.domains]


def _recent(judged: Judged, actor: Actor, audit: str) -> list[Operation]:
    now = judged.circumstances
    mine = RecentChange(
        at_unix_ms=now.now_unix_ms,
        actor=actor.id,
        by_agent=actor.acts_as_agent,
        operation=judged.plan.operation,
        direction=judged.plan.direction,
        took_back=judged.plan.stops == 0,
        audit=audit,
    )
    return [
        Put(key=keys.recent(subject), value=encode(with_change(before, mine))) for subject, before in now.recent.items()
    ]


def audit_of(
    judged: Judged,
    *,
    kind: str,
    identity: str,
    actor: Actor,
    request: dict[str, Json],
    reason: str = "",
    rule: str = "",
    effect: str = "",
    proposal: str = "",
    revision: int = 0,
    trace_id: str = "",
    request_id: str = "",
    votes: Sequence[object] = (),
    evidence: Sequence[str] = (),
    tainted: bool = False,
    undoes: str = "",
) -> AuditRecord:
    """`effect` and `rule` are the judgement's own unless given."""
    detail: dict[str, Json] = {"votes": msgspec.to_builtins(list(votes))} if votes else {}
    detail |= {"evidence": list(evidence)} if evidence else {}
    detail |= {"tainted": True} if tainted else {}
    detail |= {"undoes": undoes} if undoes else {}
    detail |= {**_touching(judged), **_undoing(judged)} if kind in MADE else {}
    return AuditRecord(
        id=identity,
        kind=kind,
        at_unix_ms=judged.circumstances.now_unix_ms,
        actor=actor,
        operation=judged.plan.operation,
        subject=judged.plan.subject,
        request=short(told_request(judged.operation, request)),
        summary=judged.plan.summary,
        reason=reason,
        rule=rule or judged.verdict.reasons,
        gate_class=int(judged.verdict.gate_class),
        effect=effect or judged.effect(),
        proposal=proposal,
        revision_before=revision,
        trace_id=trace_id,
        request_id=request_id,
        detail=detail,
    )


def _touching(judged: Judged) -> dict[str, Json]:
    """Whose records it changed, where its subject stands for several: of a blueprint's slices, those that are as they
    were cannot owe it anything. Of very many none is told."""
    subject = judged.plan.subject
    found = [each for each in touched(judged.plan) if each != subject]
    return {TOUCHED: found} if subject.startswith("blueprint:") and len(found) <= TOUCHED_MAX else {}


def _undoing(judged: Judged) -> dict[str, Json]:
    """What undoes a change, where that is short enough to be kept with it and may be told to everybody."""
    if judged.undo is None or judged.undo != judged.plan.inverse:
        return {}
    plain = msgspec.to_builtins(judged.undo)
    return {"inverse": plain} if len(msgspec.json.encode(plain)) <= INVERSE_BYTES_MAX else {}


def _kept_undo(judged: Judged, record: AuditRecord) -> list[Operation]:
    """Apart, where the record does not have it."""
    if record.kind not in MADE or judged.plan.inverse is None or "inverse" in fitted(record).detail:
        return []
    whole = packed(Undo(inverse=judged.plan.inverse, proposal=record.proposal))
    return [Put(key=keys.undo(record.id), value=whole)] if len(whole) <= PACKED_BYTES_MAX else []


def short(request: dict[str, Json]) -> dict[str, Json]:
    """A request as it is kept: what is long, such as a blueprint's source, is named by its length."""
    return {name: _brief(value) for name, value in request.items()}


def _brief(value: Json) -> Json:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return value if len(text) <= VALUE_CHARS_MAX else f"({len(text)} characters)"
