"""What was applied and then undone: its proposal says so, whoever undid it, and it is undone once."""

from __future__ import annotations

from controllers.gate.audit import AuditRecord
from controllers.gate.errors import ProposalEnded
from controllers.gate.proposals import ProposalEvent, ProposalState, moved, read_proposal
from runtime.consensus.store import Operation, Put
from runtime.deployment.records import Snapshot
from runtime.operations.plan import Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode


def not_to_undo(state: PlanState, identity: str) -> Refusal | None:
    """Why there is nothing to undo of that proposal; None where there is, or where it is kept no more. That it is so is
    noted: what undoes it compares it."""
    raw = state.value(keys.proposal(identity)) if identity else None
    proposal = read_proposal(raw) if raw is not None else None
    if proposal is None or proposal.state is ProposalState.APPLIED:
        return None
    detail = f"proposal {identity} is {proposal.state}: there is nothing to undo"
    return Refusal(code=ProposalEnded.code, detail=detail, remedy="See what became of it: aether why.")


def undone_by(record: AuditRecord) -> str:
    """In words, of the record of what undoes it."""
    return f"undone by {record.actor.id}{': ' if record.reason else ''}{record.reason}"


def marked_undone(state: Snapshot, identity: str, why: str) -> list[Operation]:
    """What says so of that proposal, in the transaction of what undoes it, which has noted the proposal."""
    item = state.get(keys.proposal(identity)) if identity else None
    proposal = read_proposal(item.value) if item is not None else None
    if item is None or proposal is None or proposal.state is not ProposalState.APPLIED:
        return []
    return [Put(key=item.key, value=encode(moved(proposal, ProposalEvent.ROLLED_BACK, why[:1_000])))]
