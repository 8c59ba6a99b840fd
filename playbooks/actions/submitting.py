"""To submit a change, and to wait for the people whom the gate asks."""

from __future__ import annotations

from typing import Final

import msgspec

from controllers.gate.proposals import Proposal, ProposalState, read_proposal
from playbooks.ports import PlaybookPorts
from runtime.operations.dispatch import Applied, Proposed, Refused, Submission
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Did, StepContext, Waits

EXPIRY_SLACK_MS: Final = 60_000  # an expired proposal is ended within a second or so, by a leader

ENDED: Final = {
    ProposalState.REJECTED: "approval_denied",
    ProposalState.EXPIRED: "approval_expired",
    ProposalState.WITHDRAWN: "approval_withdrawn",
    ProposalState.STALE: "plan_changed",
    ProposalState.REFUSED: "refused_by_policy",
    ProposalState.ROLLED_BACK: "rolled_back",
}
"""Why a step failed whose change waited for people and was not made, or was undone by others."""


class Submitter:
    def __init__(self, ports: PlaybookPorts) -> None:
        self._ports = ports

    async def submit(self, submission: Submission, context: StepContext) -> Did | Waits:
        """Raises StepFailed, StoreFault."""
        outcome = await self._ports.dispatcher.submit(submission)
        match outcome:
            case Applied():
                return Did({**applied_result(outcome), **context.note})
            case Proposed():
                return self._waits(outcome)
            case Refused():
                raise StepFailed(outcome.code, outcome.detail, again=outcome.retryable)
            case _:
                raise AssertionError(outcome)

    def proposal(self, identity: str) -> Proposal | None:
        item = self._ports.state.get(keys.proposal(identity))
        return read_proposal(item.value) if item is not None else None

    def _waits(self, outcome: Proposed) -> Waits:
        """The same submission, made again once the proposal has ended, is answered by what it came to."""
        proposal = self.proposal(outcome.proposal)
        code = ENDED.get(proposal.state) if proposal is not None else None
        if proposal is not None and code is not None:
            changed = "; it would have another effect now" if code == "plan_changed" else ""
            raise StepFailed(code, f"proposal {proposal.id} is {proposal.state}: {proposal.ended}{changed}")
        return Waits(
            f"proposal/{outcome.proposal}",
            until_unix_ms=outcome.expires_unix_ms + EXPIRY_SLACK_MS,
            note={"proposal": outcome.proposal, "approvers": outcome.approvers, "rule": outcome.rule},
        )


def applied_result(outcome: Applied) -> dict[str, Json]:
    told: dict[str, Json] = msgspec.to_builtins(outcome)
    kept = ("revision", "summary", "result", "audit", "gate_class", "inverse")
    return {member: told[member] for member in kept}
