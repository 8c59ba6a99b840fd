"""Votes, and taking a proposal back."""

from __future__ import annotations

from collections.abc import Callable

from controllers.gate.attempts import note_vote_refused
from controllers.gate.audit import NO_TRACE, AuditRecord, Trace
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk
from controllers.gate.errors import ChangedTooOften, ProposalEnded, ProposalNotFound, VoteRefused
from controllers.gate.leasing import let_go
from controllers.gate.proposals import (
    REASON_CHARS_MAX,
    VOTES_MAX,
    Proposal,
    ProposalEvent,
    ProposalState,
    Vote,
    is_approved,
    moved,
    read_proposal,
    why_not,
    with_vote,
)
from controllers.gate.writing import stored, written
from runtime.consensus.store import Revision, absent, led_by, present, unchanged
from runtime.operations.actor import Actor, Role
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys

_After = Callable[[PlanState, Proposal], tuple[Proposal, str]]
"""The proposal as it shall be, and the kind of its audit record. Raises what the gate refuses."""


class Votes:
    """On the leader. Every method raises StoreFault, NotLeader or what the gate refuses."""

    def __init__(self, desk: GateDesk) -> None:
        self._desk = desk

    async def cast(
        self, identity: str, voter: Actor, *, approve: bool, reason: str, trace: Trace = NO_TRACE
    ) -> Proposal:
        """One no ends it; enough yes make it approved, and the leader applies it."""

        def after(state: PlanState, proposal: Proposal) -> tuple[Proposal, str]:
            self._check(state, proposal, voter)
            vote = Vote(voter=voter, approve=approve, reason=reason, at_unix_ms=self._desk.clock.unix_ms())
            voted = with_vote(proposal, vote)
            if not approve:
                words = f"rejected by {voter.id}" + (f": {reason}" if reason else "")
                return moved(voted, ProposalEvent.REJECTED, words), "rejected"
            if voted.state is ProposalState.PENDING and is_approved(voted, self._desk.voters(state, voted)):
                return moved(voted, ProposalEvent.APPROVED), "voted"
            return voted, "voted"

        return await self._noted(identity, voter, after, kind="voted", reason=reason, trace=trace)

    async def withdraw(self, identity: str, actor: Actor, *, reason: str, trace: Trace = NO_TRACE) -> Proposal:
        """By who asked for it, who they act for, or an admin."""

        def after(state: PlanState, proposal: Proposal) -> tuple[Proposal, str]:
            mine = actor.id in {each.id for each in proposal.actor.chain()}
            now = self._desk.principal(state, actor.id)
            if not mine and not all(each and each.may(Role.ADMIN, proposal.subject) for each in (actor, now)):
                raise VoteRefused("only who proposed it, or an admin, takes a proposal back")
            return moved(proposal, ProposalEvent.WITHDRAWN, f"withdrawn by {actor.id}"), "withdrawn"

        return await self._noted(identity, actor, after, kind="withdrawn", reason=reason, trace=trace)

    def _check(self, state: PlanState, proposal: Proposal, voter: Actor) -> None:
        """What the voter may do now counts, and no more than what they spoke with, such as a key that was cut down."""
        now = self._desk.principal(state, voter.id)
        problem = "unknown principal" if now is None else why_not(proposal, voter) or why_not(proposal, now)
        if problem:
            raise VoteRefused(f"this vote would not count: {problem}")
        if voter.id not in {each.voter.id for each in proposal.votes} and len(proposal.votes) >= VOTES_MAX:
            raise VoteRefused(f"a proposal has at most {VOTES_MAX} votes")

    async def _noted(
        self, identity: str, actor: Actor, after: _After, *, kind: str, reason: str, trace: Trace
    ) -> Proposal:
        """What is refused stands in the audit too."""
        try:
            if len(reason) > REASON_CHARS_MAX:
                raise VoteRefused(f"a reason has at most {REASON_CHARS_MAX} characters")
            return await self._change(identity, actor, after, reason=reason, trace=trace)
        except (ProposalNotFound, ProposalEnded, VoteRefused) as fault:
            await note_vote_refused(self._desk, identity, actor, fault, kind=kind, reason=reason, trace=trace)
            raise

    async def _change(self, identity: str, actor: Actor, after: _After, *, reason: str, trace: Trace) -> Proposal:
        for _ in range(ATTEMPTS_MAX):
            fence = self._desk.fence()
            await self._desk.state.confirmed()
            state = PlanState(self._desk.state)
            proposal = find(state, identity)
            changed, kind = after(state, proposal)
            record = self._record(changed, actor, kind, reason, trace, int(state.revision))
            live = keys.proposal_live(identity)
            compare = [led_by(fence), present(live), absent(keys.audit_fresh(record.id))]
            compare += [unchanged(key, Revision(at)) for key, at in state.reads.items() if key != live]
            lease = self._desk.state.get(live)
            result = await self._desk.store.txn(compare, [*stored(changed), written(record)])
            if result.succeeded:
                if not changed.waits:
                    await let_go(self._desk.store, lease)
                await self._desk.state.wait_for(result.revision)
                return changed
        raise ChangedTooOften("the proposal changed again and again while this was decided")

    def _record(
        self, proposal: Proposal, actor: Actor, kind: str, reason: str, trace: Trace, revision: int
    ) -> AuditRecord:
        return AuditRecord(
            id=self._desk.new_id(),
            kind=kind,
            at_unix_ms=self._desk.clock.unix_ms(),
            actor=actor,
            operation=proposal.call.operation,
            subject=proposal.subject,
            summary=proposal.summary,
            reason=reason,
            gate_class=int(proposal.gate_class),
            effect=proposal.effect,
            proposal=proposal.id,
            revision_before=revision,
            trace_id=trace.trace_id or proposal.trace_id,
            request_id=trace.request_id,
        )


def find(state: PlanState, identity: str) -> Proposal:
    """One that still waits. Raises ProposalNotFound or ProposalEnded."""
    raw = state.value(keys.proposal(identity)) if identity else None
    if raw is None:
        known = [keys.parts(item.key)[0] for item in state.all_items(keys.PROPOSALS_OPEN)]
        raise ProposalNotFound(f"there is no proposal {identity[:80]!r}{nearest(identity, known)}")
    proposal = read_proposal(raw)
    if proposal is None:
        raise ProposalNotFound(f"proposal {identity} was written by a newer version than this node's")
    if not proposal.waits:
        raise ProposalEnded(f"proposal {identity} is {proposal.state}{': ' if proposal.ended else ''}{proposal.ended}")
    if state.get(keys.proposal_live(identity)) is None:
        raise ProposalEnded(f"proposal {identity} has expired")
    return proposal
