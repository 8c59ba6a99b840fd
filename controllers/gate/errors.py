"""What the gate refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class GateFault(RuntimeFault):
    code = "gate_fault"


class PolicyInvalid(GateFault):
    code = "policy_invalid"
    remedy = "Correct the policy; `aether policy show --default` prints the one to begin from."


class ProposalNotFound(GateFault):
    code = "proposal_not_found"
    remedy = "List what waits: aether proposals."


class ReviewNotFound(GateFault):
    code = "review_not_found"
    remedy = "List what is open: aether review list."


class ProposalEnded(GateFault):
    """It is applied, rejected, expired, stale or withdrawn."""

    code = "proposal_ended"
    remedy = "Propose the change again."


class VoteRefused(GateFault):
    """That principal's vote does not count on that proposal."""

    code = "vote_refused"


class ChangedTooOften(GateFault):
    """The state changed again and again while a change was decided."""

    code, retryable = "changed_meanwhile", True
    remedy = "Try again."
