"""Approved proposals are carried out, expired ones ended: a leader service."""

from __future__ import annotations

from typing import Final

import anyio
import msgspec

from controllers.gate.audit import AuditRecord
from controllers.gate.desk import ATTEMPTS_MAX, GateDesk, Judged
from controllers.gate.evaluate import consent_of
from controllers.gate.guarding import armed
from controllers.gate.proposals import (
    Proposal,
    ProposalEvent,
    ProposalState,
    is_approved,
    moved,
)
from controllers.gate.writing import audit_of, compares, turn_taken, writes
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Compare, Delete, Put, Revision, absent, led_by, present, unchanged
from runtime.operations.actor import Actor
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.plan import Refusal, diff, effect_hash, shown
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

LOOK_S: Final = 1.0  # however quiet the state is


class Applier:
    """`run` is a leader service; `settle` brings one proposal as far as it goes now."""

    def __init__(self, desk: GateDesk) -> None:
        self._desk = desk

    async def run(self, fence: Revision) -> None:
        await self._desk.state.wait_for(fence)
        while True:
            seen = self._desk.state.revision
            for proposal in self._desk.proposals():
                if proposal.waits:
                    await self.settle(proposal.id, fence)
            with anyio.move_on_after(LOOK_S):
                await self._desk.state.wait_for(Revision(max(seen, self._desk.state.revision) + 1))

    async def settle(self, identity: str, fence: Revision) -> Proposal | None:
        """The proposal as it is then; None when there is none. Raises NotLeader."""
        for _ in range(ATTEMPTS_MAX):
            state = PlanState(self._desk.state)
            raw = state.value(keys.proposal(identity))
            if raw is None:
                return None
            proposal = msgspec.json.decode(raw, type=Proposal)
            alive = self._desk.state.get(keys.proposal_live(identity)) is not None
            if not proposal.waits or (alive and proposal.state is ProposalState.PENDING):
                return proposal
            if not alive:
                written = await self._end(state, proposal, ProposalEvent.EXPIRED, "nobody decided in time", fence)
            else:
                written = await self._apply(state, proposal, fence)
            if written is not None:
                await self._desk.state.wait_for(written)
            elif not await self._leads(fence):
                raise NotLeader("")
            else:
                await self._desk.state.confirmed()
        return None

    async def _leads(self, fence: Revision) -> bool:
        return (await self._desk.store.txn([led_by(fence)], [])).succeeded

    async def _apply(self, state: PlanState, proposal: Proposal, fence: Revision) -> Revision | None:
        """Plans and judges the same request again; only an equal effect is carried out."""
        voters = {vote.voter.id: self._desk.principal(state, vote.voter.id) for vote in proposal.votes}
        known = {name: actor for name, actor in voters.items() if actor is not None}
        if not is_approved(proposal, known):
            return await self._end(state, proposal, ProposalEvent.UNAPPROVED, "a vote does not count any more", fence)
        actor = self._desk.still(state, proposal.actor)
        if actor is None:
            words = f"{proposal.actor.id} is no principal any more"
            return await self._end(state, proposal, ProposalEvent.REFUSED, words, fence)
        try:
            judged = self._desk.judge(state, proposal.call, actor, tainted=proposal.tainted)
        except OperationUnknown as error:
            return await self._end(state, proposal, ProposalEvent.REFUSED, str(error), fence)
        if isinstance(judged, Refusal):
            return await self._end(state, proposal, ProposalEvent.CHANGED, judged.detail, fence)
        if judged.verdict.decision == "refuse":
            return await self._end(state, proposal, ProposalEvent.REFUSED, judged.verdict.reasons, fence)
        differs = _differs(proposal, judged)
        if differs:
            now = shown(diff(judged.plan))
            return await self._end(state, proposal, ProposalEvent.CHANGED, differs, fence, changed_since=now)
        return await self._write(proposal, judged, actor, fence, int(state.revision))

    async def _write(
        self, proposal: Proposal, judged: Judged, actor: Actor, fence: Revision, revision: int
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
        )
        applied = moved(proposal, ProposalEvent.APPLIED, "applied", applied_revision=revision)
        result = await self._desk.store.txn(
            compares(judged, fence, present(keys.proposal_live(proposal.id))),
            writes(
                judged,
                actor,
                record,
                Put(key=keys.proposal(proposal.id), value=encode(applied)),
                Delete(key=keys.proposal_live(proposal.id)),
                *await armed(self._desk, proposal.guard, judged.plan.inverse, record),
                *await turn_taken(self._desk.store, judged, actor),
            ),
        )
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
        ended = moved(proposal, event, words, **members)
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
        compare: list[Compare] = [led_by(fence)]
        compare.append(unchanged(keys.proposal(proposal.id), Revision(state.reads[keys.proposal(proposal.id)])))
        if event is ProposalEvent.EXPIRED:
            compare.append(absent(keys.proposal_live(proposal.id)))
        result = await self._desk.store.txn(
            compare,
            [
                Put(key=keys.proposal(proposal.id), value=encode(ended)),
                Put(key=keys.audit_fresh(record.id), value=encode(record)),
                *([] if ended.waits else [Delete(key=keys.proposal_live(proposal.id))]),
            ],
        )
        return result.revision if result.succeeded else None


def _differs(proposal: Proposal, judged: Judged) -> str:
    """In words, why what would happen now is not what was approved; empty if it is."""
    if judged.verdict.gate_class > proposal.gate_class:
        return f"it now needs more consent: {judged.verdict.reasons}"
    needs, _ = consent_of(judged.policy, judged.verdict)
    if effect_hash(judged.plan, needs.words()) == proposal.effect:
        return ""
    if needs != proposal.needs:
        return f"who must approve it changed: {needs.words()}"
    return f"its effect is not what was approved any more: {judged.plan.summary}"
