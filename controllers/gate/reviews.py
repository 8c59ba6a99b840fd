"""Reviews: what went past an approval, or could not be undone, is looked at afterwards by another person."""

from __future__ import annotations

from typing import Literal

import msgspec

from controllers.gate.attempts import note_vote_refused
from controllers.gate.audit import NO_TRACE, AuditRecord, Trace
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk
from controllers.gate.errors import ChangedTooOften, ReviewNotFound, VoteRefused
from controllers.gate.proposals import REASON_CHARS_MAX
from controllers.gate.writing import written
from runtime.consensus.store import Delete, Put, Revision, absent, led_by, unchanged
from runtime.operations.actor import Actor, Role
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import Value, encode


class Review(Value, frozen=True, kw_only=True):
    """Open for as long as its key exists; who closed it, and what they found, is in the audit."""

    id: str
    """Of the audit record that it is about."""
    kind: Literal["break_glass", "rollback_failed"]
    opened_unix_ms: int
    actor: Actor
    operation: str
    subject: str
    summary: str
    reason: str
    proposal: str = ""


def opened(record: AuditRecord, kind: Literal["break_glass", "rollback_failed"]) -> Put:
    """What opens a review, written with the record that it is about."""
    review = Review(
        id=record.id,
        kind=kind,
        opened_unix_ms=record.at_unix_ms,
        actor=record.actor,
        operation=record.operation,
        subject=record.subject,
        summary=record.summary,
        reason=record.reason,
        proposal=record.proposal,
    )
    return Put(key=keys.review(record.id), value=encode(review))


def read_review(raw: bytes) -> Review | None:
    """None for one that this version cannot read, as a newer one may have written it."""
    try:
        return msgspec.json.decode(raw, type=Review)
    except msgspec.DecodeError:
        return None


class Reviews:
    """On the leader. Raises StoreFault, NotLeader or what the gate refuses."""

    def __init__(self, desk: GateDesk) -> None:
        self._desk = desk

    async def close(self, identity: str, actor: Actor, *, reason: str, trace: Trace = NO_TRACE) -> Review:
        """By a person who had no part in it. `reason` says what they found."""
        try:
            return await self._close(identity, actor, reason, trace)
        except (ReviewNotFound, VoteRefused) as fault:
            await note_vote_refused(self._desk, identity, actor, fault, kind="reviewed", reason=reason, trace=trace)
            raise

    async def _close(self, identity: str, actor: Actor, reason: str, trace: Trace) -> Review:
        if not reason.strip() or len(reason) > REASON_CHARS_MAX:
            raise VoteRefused(f"a review says in 1 to {REASON_CHARS_MAX} characters what was found")
        for _ in range(ATTEMPTS_MAX):
            fence = self._desk.fence()
            await self._desk.state.confirmed()
            state = PlanState(self._desk.state)
            review = _find(state, identity)
            self._check(state, review, actor)
            record = AuditRecord(
                id=self._desk.new_id(),
                kind="reviewed",
                at_unix_ms=self._desk.clock.unix_ms(),
                actor=actor,
                operation=review.operation,
                subject=review.subject,
                summary=review.summary,
                reason=reason,
                proposal=review.proposal,
                revision_before=int(state.revision),
                trace_id=trace.trace_id,
                request_id=trace.request_id,
                detail={"review": review.id, "kind": review.kind},
            )
            compare = [unchanged(key, Revision(at)) for key, at in state.reads.items()]
            result = await self._desk.store.txn(
                [led_by(fence), absent(keys.audit_fresh(record.id)), *compare],
                [Delete(key=keys.review(identity)), written(record)],
            )
            if result.succeeded:
                await self._desk.state.wait_for(result.revision)
                return review
        raise ChangedTooOften("the review changed again and again while it was closed")

    def _check(self, state: PlanState, review: Review, actor: Actor) -> None:
        now = self._desk.principal(state, actor.id)
        if now is None or not now.is_human or not actor.is_human or actor.acts_as_agent or now.acts_as_agent:
            raise VoteRefused("only people review")
        if actor.id in {each.id for each in review.actor.chain()}:
            raise VoteRefused("who had a part in it does not review it")
        if not all(each.may(Role.OPERATOR, review.subject) for each in (actor, now)):
            raise VoteRefused(f"a review needs the role {Role.OPERATOR}")


def _find(state: PlanState, identity: str) -> Review:
    raw = state.value(keys.review(identity))
    if raw is None:
        raise ReviewNotFound(f"no review {identity[:80]!r} is open")
    review = read_review(raw)
    if review is None:
        raise ReviewNotFound(f"review {identity} was written by a newer version than this node's")
    return review
