"""The gate's way in, on the leader: plan, judge, then apply, propose or refuse, and write it down."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from controllers.conversations.linking import Origin, noted, origin_of
from controllers.gate.answers import AnswerBook
from controllers.gate.attempts import note_refused
from controllers.gate.audit import AuditRecord
from controllers.gate.checking import malformed, unfit
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk, Judged
from controllers.gate.errors import ChangedTooOften
from controllers.gate.evaluate import too_many_waiting
from controllers.gate.guarding import armed
from controllers.gate.idempotency import answer_key
from controllers.gate.leasing import TakenLeases
from controllers.gate.proposals import PROPOSAL_BYTES_MAX, Proposal, shortened
from controllers.gate.reviews import opened
from controllers.gate.uncut import PACKED_BYTES_MAX, WholeProposal, packed
from controllers.gate.undone import marked_undone, not_to_undo, undone_by
from controllers.gate.verdict import Verdict
from controllers.gate.writing import applied_as, audit_of, compares, short, stored, turn_taken, writes, written
from runtime.consensus.errors import LeaseNotFound
from runtime.consensus.store import LeaseId, Operation, Put, Revision, absent
from runtime.content.port import pin_key
from runtime.names import Sha256
from runtime.operations.actor import ActorKind, Role, at_least
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.dispatch import Applied, Outcome, Planned, PlanView, Proposed, Refused, Submission
from runtime.operations.plan import Call, Refusal, diff, shown
from runtime.operations.secrecy import told_rows
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

PROPOSALS_BYTES_MAX: Final = 6 * 1024 * 1024  # of 8 MiB: votes on those that wait still find room

NO_GLASS: Final = Refusal(
    code="break_glass_refused",
    detail="only an admin in person may override a needed approval",
    remedy="Leave break_glass out: the change is then proposed.",
)
NO_ROOM: Final = Refusal(
    code="too_many_proposals",
    detail="too many proposals wait or have just ended",
    remedy="Decide or withdraw some; ended ones go by themselves.",
    retryable=True,
)
TOO_LARGE: Final = Refusal(code="request_too_large", detail="the request is too large to wait for an approval")


class Gate:
    """Implements Dispatcher. `answers` keeps what was answered under idempotency keys."""

    def __init__(self, desk: GateDesk, answers: AnswerBook) -> None:
        self._desk = desk
        self._answers = answers
        self._proposing: Counter[str] = Counter()
        """By requester, proposals that are being written: they count as waiting."""

    async def submit(self, submission: Submission) -> Outcome:
        """Raises StoreFault without a quorum, NotLeader on a node that does not lead, ChangedTooOften."""
        fence = self._desk.fence()
        refusal = malformed(submission)
        if refusal is not None:
            return await self._refused(submission, refusal)
        kept = await self._answers.find(submission)
        if isinstance(kept, Refusal):
            return await self._refused(submission, kept)
        if kept is not None:
            return kept
        for _ in range(ATTEMPTS_MAX):
            try:
                outcome = await self._once(submission, fence)
            except LeaseNotFound:
                self._answers.forget_lease()
                continue
            if outcome is not None:
                return outcome
        raise ChangedTooOften("the state changed again and again while this was decided")

    async def _once(self, submission: Submission, fence: Revision) -> Outcome | None:
        """None when something that it was decided on changed before it was written."""
        await self._desk.state.confirmed()
        state = PlanState(self._desk.state)
        call = Call(operation=submission.operation, request=submission.full_request)
        try:
            lacking = self._role_lacking(submission, state)
            if lacking is not None:
                return await self._refused(submission, lacking)
            origin = origin_of(state, submission)
            if isinstance(origin, Refusal):
                return await self._refused(submission, origin)
            if origin is not None and origin.tainted:
                submission = msgspec.structs.replace(submission, tainted=True)
            undone = not_to_undo(state, submission.undoes)
            if undone is not None:
                return await self._refused(submission, undone)
            judged = self._desk.judge(
                state, call, submission.actor, tainted=submission.tainted, takes_back=submission.takes_back
            )
        except OperationUnknown as error:
            refusal = Refusal(code=error.code, detail=str(error), remedy=error.remedy)
            return await self._refused(submission, refusal)
        if isinstance(judged, Refusal):
            return await self._refused(submission, judged)
        problem = unfit(submission, judged, state, self._desk.catalogue)
        if problem is not None:
            return await self._refused(submission, problem, judged)
        if submission.dry_run:
            return Planned(plan=self._view(judged, int(state.revision)))
        return await self._decide(submission, judged, fence, int(state.revision), origin)

    def _role_lacking(self, submission: Submission, state: PlanState) -> Refusal | None:
        """Before anything is planned for one who may do it on no subject at all: neither as who was let in by the node
        that was asked, nor as they stand here now, which the change compares. Raises OperationUnknown."""
        operation = self._desk.catalogue.change(submission.operation)
        for each in submission.actor.chain():
            named = each.kind in (ActorKind.PERSON, ActorKind.AUTOMATION)
            now = self._desk.principal(state, each.id) if named else each
            if now is None and submission.dry_run:
                now = each  # somebody made up, to see what the gate would say
            if now is None:
                return Refusal(code="refused_by_policy", detail=f"{each.id} is no principal any more")
            for actor in (each, now):
                if at_least(actor.role, operation.role) or (actor.owns and operation.role is not Role.ADMIN):
                    continue
                detail = f"{operation.name} needs the role {operation.role}, and {actor.id} is {actor.role}"
                remedy = "Ask an admin for the role, or for a key that has it."
                return Refusal(code="refused_by_policy", detail=detail, remedy=remedy)
        return None

    async def _decide(
        self, submission: Submission, judged: Judged, fence: Revision, revision: int, origin: Origin | None
    ) -> Outcome | None:
        verdict = judged.verdict
        if verdict.decision == "refuse":
            return await self._refused(submission, _by_policy(verdict), judged)
        if submission.break_glass and verdict.decision == "propose":
            actor = submission.actor
            if not (actor.is_human and not actor.acts_as_agent and at_least(actor.role, Role.ADMIN)):
                return await self._refused(submission, NO_GLASS, judged)
            return await self._apply(submission, judged, fence, revision, kind="break_glass", origin=origin)
        if verdict.decision == "propose" or submission.propose:
            return await self._propose_counted(submission, judged, fence, revision, origin)
        return await self._apply(submission, judged, fence, revision, kind="applied", origin=origin)

    async def _refused(self, submission: Submission, refusal: Refusal, judged: Judged | None = None) -> Refused:
        """With its trace in the audit."""
        await note_refused(self._desk, submission, refusal.code, refusal.detail, judged)
        rule = judged.verdict.rule if judged is not None and judged.verdict.decision == "refuse" else ""
        return Refused(
            code=refusal.code,
            detail=refusal.detail,
            remedy=refusal.remedy,
            retryable=refusal.retryable,
            rule=rule,
            where=refusal.where,
        )

    async def _apply(
        self,
        submission: Submission,
        judged: Judged,
        fence: Revision,
        revision: int,
        *,
        kind: str,
        origin: Origin | None,
    ) -> Outcome | None:
        record = self._record(submission, judged, kind, revision)
        undone = marked_undone(self._desk.state, submission.undoes, undone_by(record))
        outcome = applied_as(judged, record)
        async with TakenLeases(self._desk.store) as leases:
            more: list[Operation] = [*undone, *await self._answers.kept(submission, outcome)]
            more += await armed(leases, submission.guard, judged.plan, record)
            more += await turn_taken(leases, judged, submission.actor)
            more += [opened(record, "break_glass")] if kind == "break_glass" else []
            more += _told_in(origin, submission, outcome, judged)
            result = await self._desk.store.txn(
                compares(judged, fence, record, *self._answers.unanswered(submission)),
                writes(judged, submission.actor, record, *more),
            )
            if not result.succeeded:
                return await self._lost(submission)
            leases.keep()
        await self._desk.state.wait_for(result.revision)
        return msgspec.structs.replace(outcome, revision=int(result.revision))

    async def _propose_counted(
        self, submission: Submission, judged: Judged, fence: Revision, revision: int, origin: Origin | None
    ) -> Outcome | None:
        requester = submission.actor.id
        pending = judged.circumstances.pending + self._proposing[requester]
        if pending >= judged.policy.limits.pending:
            now = msgspec.structs.replace(judged.circumstances, pending=pending)
            return await self._refused(submission, _by_policy(too_many_waiting(submission.actor, now)), judged)
        if self._fullest_bytes() > PROPOSALS_BYTES_MAX:
            return await self._refused(submission, NO_ROOM, judged)
        self._proposing[requester] += 1
        try:
            return await self._propose(submission, judged, fence, revision, origin)
        finally:
            self._proposing[requester] -= 1
            if not self._proposing[requester]:
                del self._proposing[requester]

    def _fullest_bytes(self) -> int:
        kinds = (keys.PROPOSALS, keys.PROPOSALS_WHOLE)
        return max(sum(len(item.value) for item in self._desk.state.items(kind)) for kind in kinds)

    async def _propose(
        self, submission: Submission, judged: Judged, fence: Revision, revision: int, origin: Origin | None
    ) -> Outcome | None:
        proposal = self._proposal(submission, judged)
        whole = packed(_whole(submission, judged))
        if len(encode(proposal)) > PROPOSAL_BYTES_MAX or len(whole) > PACKED_BYTES_MAX:
            return await self._refused(submission, TOO_LARGE, judged)
        outcome = Proposed(
            proposal=proposal.id,
            summary=proposal.summary,
            gate_class=judged.verdict.gate_class.name,
            rule=proposal.rule,
            approvers=proposal.needs.words(),
            expires_unix_ms=proposal.expires_unix_ms,
            revision=0,
        )
        record = self._record(submission, judged, "proposed", revision, proposal=proposal.id)
        compare = compares(judged, fence, record, absent(keys.proposal(proposal.id)))
        async with TakenLeases(self._desk.store) as leases:
            lease = await leases.grant(judged.verdict.expires_ms)
            result = await self._desk.store.txn(
                [*compare, *self._answers.unanswered(submission)],
                [
                    *stored(proposal),
                    Put(key=keys.proposal_whole(proposal.id), value=whole),
                    Put(key=keys.proposal_open(proposal.id), value=b""),
                    Put(key=keys.proposal_live(proposal.id), value=b"", lease=lease),
                    *_pinned_meanwhile(judged, proposal.id, lease),
                    written(record),
                    *await self._answers.kept(submission, outcome),
                    *_told_in(origin, submission, outcome, judged),
                ],
            )
            if not result.succeeded:
                return await self._lost(submission)
            leases.keep()
        await self._desk.state.wait_for(result.revision)
        return msgspec.structs.replace(outcome, revision=int(result.revision))

    def _proposal(self, submission: Submission, judged: Judged) -> Proposal:
        now = judged.circumstances.now_unix_ms
        call = Call(operation=submission.operation, request=submission.full_request)
        rows = told_rows(diff(judged.plan))
        cut = shortened(shown(rows))
        return Proposal(
            id=self._desk.new_id(),
            call=_short(self._desk.told(call)),
            subject=judged.plan.subject,
            summary=judged.plan.summary,
            actor=submission.actor,
            reason=submission.reason,
            evidence=submission.evidence,
            tainted=submission.tainted,
            gate_class=judged.verdict.gate_class,
            needs=judged.verdict.asks,
            rule=_why_it_waits(submission, judged)[:1_000],
            effect=judged.effect(),
            diff=cut,
            diff_is_whole=cut == rows,
            blast=judged.plan.blast,
            inverse=_short(judged.undo) if judged.undo is not None else None,
            guard=submission.guard,
            created_unix_ms=now,
            expires_unix_ms=now + judged.verdict.expires_ms,
            trace_id=submission.trace_id,
        )

    def _record(
        self, submission: Submission, judged: Judged, kind: str, revision: int, *, proposal: str = ""
    ) -> AuditRecord:
        return audit_of(
            judged,
            kind=kind,
            identity=self._desk.new_id(),
            actor=submission.actor,
            request=submission.request,
            reason=submission.reason,
            proposal=proposal,
            revision=revision,
            trace_id=submission.trace_id,
            evidence=submission.evidence,
            tainted=submission.tainted,
            undoes=submission.undoes,
            request_id=submission.request_id,
        )

    async def _lost(self, submission: Submission) -> Outcome | None:
        """The comparison failed: another's change, another leader, or the same key was answered meanwhile."""
        self._desk.fence()
        kept = await self._answers.find(submission)
        return await self._refused(submission, kept) if isinstance(kept, Refusal) else kept

    def _view(self, judged: Judged, revision: int) -> PlanView:
        plan, verdict = judged.plan, judged.verdict
        return PlanView(
            operation=plan.operation,
            subject=plan.subject,
            summary=plan.summary,
            diff=shown(told_rows(diff(plan))),
            blast=plan.blast,
            inverse=judged.undo,
            estimated_ms=plan.estimated_ms,
            gate_class=verdict.gate_class.name,
            decision=verdict.decision,
            rule=verdict.reasons,
            approvers=verdict.needs.words(),
            effect=judged.effect(),
            revision=revision,
            result=plan.result,
        )


def _told_in(
    origin: Origin | None, submission: Submission, outcome: Applied | Proposed, judged: Judged
) -> list[Operation]:
    """In the conversation that it came from, what it came to."""
    if origin is None:
        return []
    return [noted(origin, submission, outcome, at_unix_ms=judged.circumstances.now_unix_ms)]


def _whole(submission: Submission, judged: Judged) -> WholeProposal:
    return WholeProposal(
        call=Call(operation=submission.operation, request=submission.full_request),
        inverse=judged.plan.inverse,
        diff=told_rows(diff(judged.plan)),
        answer=answer_key(submission) if submission.idempotency_key else "",
        undoes=submission.undoes,
        takes_back=submission.takes_back,
    )


def _pinned_meanwhile(judged: Judged, proposal: str, lease: LeaseId) -> list[Operation]:
    """Bytes that the plan would pin, such as an uploaded wheel, are kept for as long as the proposal lives: nobody else
    pins them, and they would be collected before it is decided."""
    pins = [
        each.key for each in judged.plan.changes if each.after is not None and each.key.startswith(keys.CONTENT_PINS)
    ]
    owner = f"proposal:{proposal}"
    return [Put(key=pin_key(Sha256(keys.parts(key)[0]), owner), value=b"", lease=lease) for key in pins]


def _short(call: Call) -> Call:
    return Call(operation=call.operation, request=short(call.request))


def _by_policy(verdict: Verdict) -> Refusal:
    return Refusal(code="refused_by_policy", detail=verdict.reasons, remedy=verdict.remedy, retryable=verdict.retryable)


def _why_it_waits(submission: Submission, judged: Judged) -> str:
    """What people read who decide: a rule that lets the change pass is no reason for asking them."""
    reasons = judged.verdict.reasons
    if judged.verdict.decision == "propose":
        return reasons
    return f"{submission.actor.id} asked for it and wants others to agree ({reasons}: it could have been done at once)"
