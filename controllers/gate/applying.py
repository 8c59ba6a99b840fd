"""Approved proposals are carried out, expired ones ended: a leader service."""

from __future__ import annotations

from typing import Final

import anyio

from controllers.gate.answers import come_to
from controllers.gate.audit import AuditRecord
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk, Judged
from controllers.gate.guarding import armed
from controllers.gate.leasing import TakenLeases, let_go
from controllers.gate.proposals import (
    Proposal,
    ProposalEvent,
    ProposalState,
    is_approved,
    moved,
    read_proposal,
    shortened,
    valid_votes,
)
from controllers.gate.uncut import WholeProposal, unpacked
from controllers.gate.undone import marked_undone, not_to_undo, undone_by
from controllers.gate.writing import applied_as, audit_of, compares, stored, turn_taken, writes, written
from runtime.consensus.errors import InvalidRequest, NotLeader, StoreFault, TooLarge
from runtime.consensus.store import Compare, Revision, absent, led_by, present, unchanged
from runtime.operations.actor import Actor
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.plan import Refusal, diff, shown
from runtime.operations.secrecy import told_rows
from runtime.operations.state import PlanState
from runtime.state import keys

LOOK_S: Final = 1.0  # however quiet the state is
LEFT_ALONE_S: Final = 5.0  # a proposal that could not be looked at
COMPARED_MAX: Final = 500  # of 512

WAITS: Final = Revision(0)
"""Instead of the revision of a write: nothing to do now."""


class Applier:
    """`run` is a leader service; `settle` brings one proposal as far as it goes now."""

    def __init__(self, desk: GateDesk) -> None:
        self._desk = desk
        self._left_alone: dict[str, float] = {}

    async def run(self, fence: Revision) -> None:
        await self._desk.state.wait_for(fence)
        while True:
            seen = self._desk.state.revision
            await self.look(fence)
            with anyio.move_on_after(LOOK_S):
                await self._desk.state.wait_for(Revision(max(seen, self._desk.state.revision) + 1))

    async def look(self, fence: Revision) -> None:
        """Settles everything that waits; one that fails keeps no other waiting. Raises retryable StoreFaults."""
        now_s = self._desk.clock.monotonic_s()
        for item in self._desk.state.items(keys.PROPOSALS_OPEN):
            identity = keys.parts(item.key)[0]
            if self._left_alone.get(identity, now_s) > now_s:
                continue
            self._left_alone.pop(identity, None)
            try:
                await self.settle(identity, fence)
            except Exception as error:  # whatever one proposal does to its planner, the others go on
                if isinstance(error, StoreFault) and error.retryable:
                    raise
                self._left_alone[identity] = now_s + LEFT_ALONE_S
                self._desk.log.warning("proposal_failed", proposal=identity, reason=f"{type(error).__name__}: {error}")

    async def settle(self, identity: str, fence: Revision) -> Proposal | None:
        """The proposal as it is then; None when there is none that can be read. Raises NotLeader."""
        for _ in range(ATTEMPTS_MAX):
            state = PlanState(self._desk.state)
            raw = state.value(keys.proposal(identity))
            proposal = read_proposal(raw) if raw is not None else None
            if proposal is None or not proposal.waits:
                return proposal
            live = self._desk.state.get(keys.proposal_live(identity))
            if live is not None and proposal.state is ProposalState.PENDING:
                return proposal
            if live is None:
                written = await self._end(state, proposal, ProposalEvent.EXPIRED, "nobody decided in time", fence)
            else:
                written = await self._applied_or_refused(state, proposal, fence)
            if written == WAITS:
                return proposal
            if written is not None:
                await self._desk.state.wait_for(written)
                if self._desk.state.get(keys.proposal_live(identity)) is None:
                    await let_go(self._desk.store, live)
            elif not await self._leads(fence):
                raise NotLeader("")
            else:
                await self._desk.state.confirmed()
        return None

    async def _leads(self, fence: Revision) -> bool:
        return (await self._desk.store.txn([led_by(fence)], [])).succeeded

    async def _applied_or_refused(self, state: PlanState, proposal: Proposal, fence: Revision) -> Revision | None:
        """What the store can never take is refused, not tried for ever."""
        try:
            return await self._apply(state, proposal, fence)
        except (InvalidRequest, TooLarge) as error:
            return await self._end(state, proposal, ProposalEvent.REFUSED, f"it cannot be written: {error}", fence)

    async def _apply(self, state: PlanState, proposal: Proposal, fence: Revision) -> Revision | None:
        """Plans and judges the same request again; only an equal effect is carried out."""
        voters = self._desk.voters(state, proposal)
        if not is_approved(proposal, voters):
            words, kept = "a vote does not count any more", valid_votes(proposal, voters)
            return await self._end(state, proposal, ProposalEvent.UNAPPROVED, words, fence, votes=kept)
        actor = self._desk.still(state, proposal.actor)
        if actor is None:
            words = f"{proposal.actor.id} is no principal any more"
            return await self._end(state, proposal, ProposalEvent.REFUSED, words, fence)
        whole = _whole(state, proposal)
        if whole is None:
            words = "what it asked for cannot be read"
            return await self._end(state, proposal, ProposalEvent.REFUSED, words, fence)
        undone = not_to_undo(state, whole.undoes)
        if undone is not None:
            return await self._end(state, proposal, ProposalEvent.CHANGED, undone.detail, fence)
        try:
            judged = self._desk.judge(
                state,
                whole.call,
                actor,
                tainted=proposal.tainted,
                applying=proposal.id,
                takes_back=whole.takes_back,
            )
        except OperationUnknown as error:
            return await self._end(state, proposal, ProposalEvent.REFUSED, str(error), fence)
        if isinstance(judged, Refusal):
            return await self._end(state, proposal, ProposalEvent.CHANGED, judged.detail, fence)
        if judged.verdict.decision == "refuse":
            if judged.verdict.retryable:
                return WAITS
            return await self._end(state, proposal, ProposalEvent.REFUSED, judged.verdict.reasons, fence)
        differs = _differs(proposal, judged)
        if differs:
            now = shortened(shown(told_rows(diff(judged.plan))))
            return await self._end(state, proposal, ProposalEvent.CHANGED, differs, fence, changed_since=now)
        return await self._write(proposal, whole, judged, actor, fence, int(state.revision))

    async def _write(
        self, proposal: Proposal, whole: WholeProposal, judged: Judged, actor: Actor, fence: Revision, revision: int
    ) -> Revision | None:
        record = audit_of(
            judged,
            kind="applied",
            identity=self._desk.new_id(),
            actor=actor,
            request=proposal.call.request,
            reason=proposal.reason,
            effect=proposal.effect,
            proposal=proposal.id,
            revision=revision,
            trace_id=proposal.trace_id,
            votes=[vote for vote in proposal.votes if vote.approve],
            evidence=proposal.evidence,
            tainted=proposal.tainted,
            undoes=whole.undoes,
        )
        undone = marked_undone(self._desk.state, whole.undoes, undone_by(record))
        applied = moved(proposal, ProposalEvent.APPLIED, "applied", applied_revision=revision)
        kept, answer = await come_to(self._desk.store, whole.answer, applied_as(judged, record))
        async with TakenLeases(self._desk.store) as leases:
            more = await armed(leases, proposal.guard, judged.plan, record)
            more += await turn_taken(leases, judged, actor)
            result = await self._desk.store.txn(
                compares(judged, fence, record, present(keys.proposal_live(proposal.id)), *kept),
                writes(judged, actor, record, *stored(applied), *undone, *answer, *more),
            )
            if result.succeeded:
                leases.keep()
        return result.revision if result.succeeded else None

    async def _end(
        self,
        state: PlanState,
        proposal: Proposal,
        event: ProposalEvent,
        words: str,
        fence: Revision,
        **members: object,
    ) -> Revision | None:
        """Only if everything that this was concluded from still stands."""
        ended = moved(proposal, event, words[:1_000], **members)
        record = AuditRecord(
            id=self._desk.new_id(),
            kind=str(event),
            at_unix_ms=self._desk.clock.unix_ms(),
            actor=proposal.actor,
            operation=proposal.call.operation,
            subject=proposal.subject,
            summary=proposal.summary,
            reason=words,
            gate_class=int(proposal.gate_class),
            effect=proposal.effect,
            proposal=proposal.id,
            revision_before=int(state.revision),
            trace_id=proposal.trace_id,
        )
        compare: list[Compare] = [led_by(fence), absent(keys.audit_fresh(record.id))]
        reads = list(state.reads.items())
        compare += [unchanged(key, Revision(at)) for key, at in reads[:COMPARED_MAX]]  # the proposal is the first
        live = keys.proposal_live(proposal.id)
        compare.append(absent(live) if event is ProposalEvent.EXPIRED else present(live))
        result = await self._desk.store.txn(compare, [*stored(ended), written(record)])
        return result.revision if result.succeeded else None


def _whole(state: PlanState, proposal: Proposal) -> WholeProposal | None:
    raw = state.value(keys.proposal_whole(proposal.id))
    return unpacked(raw, WholeProposal) if raw is not None else None


def _differs(proposal: Proposal, judged: Judged) -> str:
    """In words, why what would happen now is not what was approved; empty if it is. Consent that is not needed any
    more does no harm."""
    if judged.verdict.gate_class > proposal.gate_class:
        return f"it now needs more consent: {judged.verdict.reasons}"
    if not proposal.needs.cover(judged.verdict.asks):
        return f"who must approve it changed: {judged.verdict.asks.words()}"
    if judged.effect(proposal.needs) != proposal.effect:
        return f"its effect is not what was approved any more: {judged.plan.summary}"
    return ""
