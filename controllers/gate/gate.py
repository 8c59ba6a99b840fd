"""The gate's way in, on the leader: plan, judge, then apply, propose or refuse, and write it down."""

from __future__ import annotations

from typing import Final

import msgspec

from controllers.gate.answers import AnswerBook
from controllers.gate.attempts import note_refused
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk, Judged
from controllers.gate.errors import ChangedTooOften
from controllers.gate.evaluate import consent_of
from controllers.gate.guarding import armed, guard_problem
from controllers.gate.proposals import Proposal
from controllers.gate.writing import audit_of, compares, turn_taken, writes
from runtime.consensus.store import VALUE_BYTES_MAX, Operation, Put, Revision, absent, led_by
from runtime.operations.actor import Role, at_least
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.dispatch import Applied, Outcome, Planned, PlanView, Proposed, Refused, Submission
from runtime.operations.plan import Call, Refusal, diff, effect_hash, shown
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

REASON_CHARS_MAX: Final = 1_000
EVIDENCE_MAX: Final = 20


class Gate:
    """Implements Dispatcher. `answers` keeps what was answered under idempotency keys."""

    def __init__(self, desk: GateDesk, answers: AnswerBook) -> None:
        self._desk = desk
        self._answers = answers

    async def submit(self, submission: Submission) -> Outcome:
        """Raises StoreFault without a quorum, NotLeader on a node that does not lead, ChangedTooOften."""
        fence = self._desk.fence()
        refusal = _malformed(submission)
        if refusal is not None:
            return _refused(refusal)
        kept = await self._answers.find(submission)
        if isinstance(kept, Refusal):
            return _refused(kept)
        if kept is not None:
            return kept
        for _ in range(ATTEMPTS_MAX):
            outcome = await self._once(submission, fence)
            if outcome is not None:
                return outcome
        raise ChangedTooOften("the state changed again and again while this was decided")

    async def _once(self, submission: Submission, fence: Revision) -> Outcome | None:
        """None when something that it was decided on changed before it was written."""
        await self._desk.state.confirmed()
        state = PlanState(self._desk.state)
        call = Call(operation=submission.operation, request=submission.request)
        try:
            judged = self._desk.judge(state, call, submission.actor, tainted=submission.tainted)
        except OperationUnknown as error:
            return Refused(code=error.code, detail=str(error), remedy=error.remedy)
        if isinstance(judged, Refusal):
            if not submission.dry_run:
                await note_refused(self._desk, submission, judged.code, judged.detail)
            return _refused(judged)
        stale = _changed_since(submission, judged)
        if stale is not None:
            return _refused(stale)
        if submission.dry_run:
            return Planned(plan=self._view(judged, int(state.revision)))
        return await self._decide(submission, judged, fence, int(state.revision))

    async def _decide(self, submission: Submission, judged: Judged, fence: Revision, revision: int) -> Outcome | None:
        verdict = judged.verdict
        if verdict.decision == "refuse":
            await note_refused(self._desk, submission, "refused_by_policy", verdict.reasons, judged)
            return Refused(code="refused_by_policy", detail=verdict.reasons, remedy=verdict.remedy, rule=verdict.rule)
        if submission.break_glass and verdict.decision == "propose":
            if not (submission.actor.is_human and at_least(submission.actor.role, Role.ADMIN)):
                return Refused(
                    code="break_glass_refused",
                    detail="only an admin in person may override a needed approval",
                    remedy="Leave break_glass out: the change is then proposed.",
                )
            return await self._apply(submission, judged, fence, revision, kind="break_glass")
        if verdict.decision == "propose" or submission.propose:
            return await self._propose(submission, judged, fence, revision)
        return await self._apply(submission, judged, fence, revision, kind="applied")

    async def _apply(
        self, submission: Submission, judged: Judged, fence: Revision, revision: int, *, kind: str
    ) -> Outcome | None:
        plan = judged.plan
        record = audit_of(
            judged,
            kind=kind,
            identity=self._desk.new_id(),
            actor=submission.actor,
            request=submission.request,
            reason=submission.reason,
            revision=revision,
            trace_id=submission.trace_id,
        )
        outcome = Applied(
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
        more: list[Operation] = [*await self._answers.kept(submission, outcome)]
        more += await armed(self._desk, submission.guard, plan.inverse, record)
        more += await turn_taken(self._desk.store, judged, submission.actor)
        guard = self._answers.unanswered(submission)
        result = await self._desk.store.txn(
            compares(judged, fence, *guard), writes(judged, submission.actor, record, *more)
        )
        if not result.succeeded:
            return await self._lost(submission)
        await self._desk.state.wait_for(result.revision)
        return msgspec.structs.replace(outcome, revision=int(result.revision))

    async def _propose(self, submission: Submission, judged: Judged, fence: Revision, revision: int) -> Outcome | None:
        needs, expires_ms = consent_of(judged.policy, judged.verdict)
        identity, now = self._desk.new_id(), judged.circumstances.now_unix_ms
        proposal = Proposal(
            id=identity,
            call=Call(operation=submission.operation, request=submission.request),
            subject=judged.plan.subject,
            summary=judged.plan.summary,
            actor=submission.actor,
            reason=submission.reason,
            evidence=submission.evidence,
            tainted=submission.tainted,
            gate_class=judged.verdict.gate_class,
            needs=needs,
            rule=judged.verdict.reasons,
            effect=effect_hash(judged.plan, needs.words()),
            diff=shown(diff(judged.plan)),
            blast=judged.plan.blast,
            inverse=judged.plan.inverse,
            guard=submission.guard,
            created_unix_ms=now,
            expires_unix_ms=now + expires_ms,
            trace_id=submission.trace_id,
        )
        if len(encode(proposal)) > VALUE_BYTES_MAX:
            return Refused(code="request_too_large", detail="the request is too large to wait for an approval")
        outcome = Proposed(
            proposal=identity,
            summary=proposal.summary,
            gate_class=judged.verdict.gate_class.name,
            rule=proposal.rule,
            approvers=needs.words(),
            expires_unix_ms=proposal.expires_unix_ms,
            revision=0,
        )
        record = audit_of(
            judged,
            kind="proposed",
            identity=self._desk.new_id(),
            actor=submission.actor,
            request=submission.request,
            reason=submission.reason,
            effect=proposal.effect,
            proposal=identity,
            revision=revision,
            trace_id=submission.trace_id,
        )
        lease = await self._desk.store.grant(expires_ms)
        result = await self._desk.store.txn(
            [led_by(fence), absent(keys.proposal(identity)), *self._answers.unanswered(submission)],
            [
                Put(key=keys.proposal(identity), value=encode(proposal)),
                Put(key=keys.proposal_live(identity), value=b"", lease=lease),
                Put(key=keys.audit_fresh(record.id), value=encode(record)),
                *await self._answers.kept(submission, outcome),
            ],
        )
        if not result.succeeded:
            await self._desk.store.revoke(lease)
            return await self._lost(submission)
        await self._desk.state.wait_for(result.revision)
        return msgspec.structs.replace(outcome, revision=int(result.revision))

    async def _lost(self, submission: Submission) -> Outcome | None:
        """The comparison failed: another's change, another leader, or the same key was answered meanwhile."""
        self._desk.fence()
        kept = await self._answers.find(submission)
        return _refused(kept) if isinstance(kept, Refusal) else kept

    def _view(self, judged: Judged, revision: int) -> PlanView:
        plan, verdict = judged.plan, judged.verdict
        needs = consent_of(judged.policy, verdict)[0] if verdict.decision == "propose" else verdict.needs
        return PlanView(
            operation=plan.operation,
            subject=plan.subject,
            summary=plan.summary,
            diff=shown(diff(plan)),
            blast=plan.blast,
            inverse=plan.inverse,
            estimated_ms=plan.estimated_ms,
            gate_class=verdict.gate_class.name,
            decision=verdict.decision,
            rule=verdict.reasons,
            approvers=needs.words(),
            effect=effect_hash(plan, needs.words()),
            revision=revision,
            result=plan.result,
        )


def _malformed(submission: Submission) -> Refusal | None:
    if len(submission.reason) > REASON_CHARS_MAX:
        return Refusal(code="request_invalid", detail=f"a reason has at most {REASON_CHARS_MAX} characters")
    if len(submission.evidence) > EVIDENCE_MAX:
        return Refusal(code="request_invalid", detail=f"at most {EVIDENCE_MAX} pieces of evidence")
    if problem := guard_problem(submission.guard):
        return Refusal(code="request_invalid", detail=problem)
    if submission.break_glass and not submission.reason.strip():
        return Refusal(
            code="reason_missing", detail="breaking the glass needs a reason", remedy="Say why: it will be reviewed."
        )
    return None


def _changed_since(submission: Submission, judged: Judged) -> Refusal | None:
    if not submission.if_match:
        return None
    touched = [each.key for each in judged.plan.changes]
    newest = max((judged.plan.reads.get(key, 0) for key in touched), default=0)
    if newest <= submission.if_match:
        return None
    return Refusal(
        code="precondition_failed",
        detail=f"{judged.plan.subject} changed at revision {newest}, after {submission.if_match}",
        remedy="Read it again, then decide again.",
    )


def _refused(refusal: Refusal) -> Refused:
    return Refused(
        code=refusal.code,
        detail=refusal.detail,
        remedy=refusal.remedy,
        retryable=refusal.retryable,
        where=refusal.where,
    )
