"""Votes, and taking a proposal back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from controllers.gate.audit import AuditRecord
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk
from controllers.gate.errors import ChangedTooOften, ProposalEnded, ProposalNotFound, VoteRefused
from controllers.gate.proposals import (
    REASON_CHARS_MAX,
    VOTES_MAX,
    Proposal,
    ProposalEvent,
    ProposalState,
    Vote,
    is_approved,
    moved,
    why_not,
    with_vote,
)
from runtime.consensus.store import Put, Revision, led_by, present, unchanged
from runtime.operations.actor import Actor, Role, at_least
from runtime.operations.catalogue import nearest
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

_After = Callable[[PlanState, Proposal], tuple[Proposal, str]]
"""The proposal as it shall be, and the kind of its audit record. Raises what the gate refuses."""


class Votes:
    """On the leader. Every method raises StoreFault, NotLeader or what the gate refuses."""

    def __init__(self, desk: GateDesk) -> None:
        self._desk = desk

    async def cast(self, identity: str, voter: Actor, *, approve: bool, reason: str, trace_id: str = "") -> Proposal:
        """One no ends it; enough yes make it approved, and the leader applies it."""
        if len(reason) > REASON_CHARS_MAX:
            raise VoteRefused(f"a reason has at most {REASON_CHARS_MAX} characters")

        def after(state: PlanState, proposal: Proposal) -> tuple[Proposal, str]:
            self._check(state, proposal, voter)
            vote = Vote(voter=voter, approve=approve, reason=reason, at_unix_ms=self._desk.clock.unix_ms())
            voted = with_vote(proposal, vote)
            if not approve:
                words = f"rejected by {voter.id}" + (f": {reason}" if reason else "")
                return moved(voted, ProposalEvent.REJECTED, words), "rejected"
            voters = {each.voter.id: self._desk.principal(state, each.voter.id) for each in voted.votes}
            known = {name: actor for name, actor in voters.items() if actor is not None}
            if voted.state is ProposalState.PENDING and is_approved(voted, known):
                return moved(voted, ProposalEvent.APPROVED), "voted"
            return voted, "voted"

        return await self._change(identity, voter, after, reason=reason, trace_id=trace_id)

    async def withdraw(self, identity: str, actor: Actor, *, reason: str, trace_id: str = "") -> Proposal:
        """By who asked for it, who they act for, or an admin."""

        def after(_state: PlanState, proposal: Proposal) -> tuple[Proposal, str]:
            mine = actor.id in {each.id for each in proposal.actor.chain()}
            if not mine and not at_least(actor.role, Role.ADMIN):
                raise VoteRefused("only who proposed it, or an admin, takes a proposal back")
            return moved(proposal, ProposalEvent.WITHDRAWN, f"withdrawn by {actor.id}"), "withdrawn"

        return await self._change(identity, actor, after, reason=reason, trace_id=trace_id)

    def _check(self, state: PlanState, proposal: Proposal, voter: Actor) -> None:
        now = self._desk.principal(state, voter.id)
        problem = "unknown principal" if now is None else why_not(proposal, now)
        if problem:
            raise VoteRefused(f"this vote would not count: {problem}")
        if len(proposal.votes) >= VOTES_MAX:
            raise VoteRefused(f"a proposal has at most {VOTES_MAX} votes")

    async def _change(self, identity: str, actor: Actor, after: _After, *, reason: str, trace_id: str) -> Proposal:
        for _ in range(ATTEMPTS_MAX):
            fence = self._desk.fence()
            await self._desk.state.confirmed()
            state = PlanState(self._desk.state)
            proposal = find(self._desk, state, identity)
            changed, kind = after(state, proposal)
            record = self._record(changed, actor, kind, reason, trace_id, int(state.revision))
            compare = [led_by(fence), present(keys.proposal_live(identity))]
            compare += [
                unchanged(key, Revision(at)) for key, at in state.reads.items() if key != keys.proposal_live(identity)
            ]
            result = await self._desk.store.txn(
                compare,
                [
                    Put(key=keys.proposal(identity), value=encode(changed)),
                    Put(key=keys.audit_fresh(record.id), value=encode(record)),
                ],
            )
            if result.succeeded:
                await self._desk.state.wait_for(result.revision)
                return changed
        raise ChangedTooOften("the proposal changed again and again while this was decided")

    def _record(
        self, proposal: Proposal, actor: Actor, kind: str, reason: str, trace_id: str, revision: int
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
            trace_id=trace_id or proposal.trace_id,
        )


def find(desk: GateDesk, state: PlanState, identity: str) -> Proposal:
    """One that still waits. Raises ProposalNotFound or ProposalEnded."""
    raw = state.value(keys.proposal(identity))
    if raw is None:
        hint = nearest(identity, [each.id for each in desk.proposals()])
        raise ProposalNotFound(f"there is no proposal {identity[:80]!r}{hint}")
    proposal = msgspec.json.decode(raw, type=Proposal)
    if not proposal.waits:
        raise ProposalEnded(f"proposal {identity} is {proposal.state}{': ' if proposal.ended else ''}{proposal.ended}")
    if state.get(keys.proposal_live(identity)) is None:
        raise ProposalEnded(f"proposal {identity} has expired")
    return proposal
