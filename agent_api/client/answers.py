"""What the API answered, as the models of the catalogue."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from agent_api.client.errors import AnswerUnreadable
from agent_api.client.message import HttpReply
from controllers.gate.proposals import Proposal, ProposalState
from runtime.operations.dispatch import Applied, Planned, PlanView, Proposed

PROPOSED: Final = 202

T = TypeVar("T")


class AppliedChange(Applied, frozen=True, kw_only=True, tag="applied"):
    """A change that was made. `converged` is None where nobody waited for it; `waits_for` says what is missing."""

    converged: bool | None = None
    waits_for: str = ""


class _Kind(msgspec.Struct):
    outcome: str


def outcome_of(reply: HttpReply) -> AppliedChange | Planned | Proposed:
    """Raises ApiRefused with the problem that it is, or AnswerUnreadable."""
    body = body_of(reply)
    kind = decoded(body, _Kind).outcome
    if kind == "planned":
        return Planned(plan=decoded(body, PlanView))
    if kind == "proposed" or reply.status == PROPOSED:
        return _tagged(body, "proposed", Proposed)
    return _tagged(body, "applied", AppliedChange)


class ShownProposal(msgspec.Struct, frozen=True, kw_only=True):
    """`converged` is None before it was applied, and where nobody knows."""

    proposal: Proposal
    converged: bool | None = None
    waits_for: str = ""

    @property
    def is_settled(self) -> bool:
        """It ended, and where it was applied, it has taken hold as far as anybody knows."""
        applied = self.proposal.state is ProposalState.APPLIED
        return not self.proposal.waits and not (applied and self.converged is False)


def proposal_of(reply: HttpReply) -> Proposal:
    """A proposal, whether it stands alone or as `proposal` in an answer. Raises ApiRefused or AnswerUnreadable."""
    document = decoded(body_of(reply), dict[str, object])
    try:
        return msgspec.convert(document.get("proposal", document), Proposal)
    except msgspec.ValidationError as error:
        raise AnswerUnreadable(f"the answer is no proposal: {error}") from error


def body_of(reply: HttpReply) -> bytes:
    """Raises ApiRefused."""
    fault = reply.fault()
    if fault is not None:
        raise fault
    return reply.body


def decoded(body: bytes, kind: type[T]) -> T:
    """Raises AnswerUnreadable."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnswerUnreadable(f"the answer cannot be read: {error}") from error


def _tagged(body: bytes, tag: str, kind: type[T]) -> T:
    """Members of the operation's result may stand beside ours, also one called as our tag."""
    document = decoded(body, dict[str, object])
    try:
        return msgspec.convert({**document, "type": tag}, kind)
    except msgspec.ValidationError as error:
        raise AnswerUnreadable(f"the answer cannot be read: {error}") from error
