"""A proposal: a plan that waits for people, and the table of its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from controllers.gate.verdict import GateClass, Needs
from runtime.errors import InvariantBroken
from runtime.operations.actor import Actor, Role, at_least
from runtime.operations.dispatch import Guard
from runtime.operations.plan import BlastRadius, Call, FieldChange
from runtime.state.values import Value

REASON_CHARS_MAX: Final = 1_000
VOTES_MAX: Final = 12  # a policy asks for nine at most
VOTE_REASON_CHARS: Final = 120  # kept with the proposal; the audit has all of it
PROPOSAL_BYTES_MAX: Final = 52 * 1024  # a value has 64 KiB: 12 votes of at most 1 KiB must still fit
ROWS_BYTES_MAX: Final = 12 * 1024  # of a diff, for people


class ProposalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    APPLIED = "applied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STALE = "stale"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"


class ProposalEvent(StrEnum):
    APPROVED = "approved"
    UNAPPROVED = "unapproved"
    APPLIED = "applied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CHANGED = "changed"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"


_WAITING: Final = (ProposalState.PENDING, ProposalState.APPROVED)

MOVES: Final[Mapping[tuple[ProposalState, ProposalEvent], ProposalState]] = {
    (ProposalState.PENDING, ProposalEvent.APPROVED): ProposalState.APPROVED,
    (ProposalState.APPROVED, ProposalEvent.UNAPPROVED): ProposalState.PENDING,
    (ProposalState.APPROVED, ProposalEvent.APPLIED): ProposalState.APPLIED,
    (ProposalState.APPLIED, ProposalEvent.ROLLED_BACK): ProposalState.ROLLED_BACK,
    **{(state, ProposalEvent.REJECTED): ProposalState.REJECTED for state in _WAITING},
    **{(state, ProposalEvent.EXPIRED): ProposalState.EXPIRED for state in _WAITING},
    **{(state, ProposalEvent.CHANGED): ProposalState.STALE for state in _WAITING},
    **{(state, ProposalEvent.WITHDRAWN): ProposalState.WITHDRAWN for state in _WAITING},
    **{(state, ProposalEvent.REFUSED): ProposalState.REFUSED for state in _WAITING},
}


class IllegalMove(InvariantBroken):
    """An event that the table does not allow."""

    def __init__(self, state: ProposalState, event: ProposalEvent) -> None:
        super().__init__(f"a proposal that is {state} cannot take {event}")


def advance(state: ProposalState, event: ProposalEvent) -> ProposalState:
    """Raises IllegalMove."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise IllegalMove(state, event) from None


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    voter: Actor
    approve: bool
    reason: str
    at_unix_ms: int


class Proposal(Value, frozen=True, kw_only=True):
    """`effect` is the hash that an approval is bound to. `call`, `diff` and `inverse` are told without what may be
    secret, and shortened; whole they are in WholeProposal, from which it is planned again."""

    id: str
    call: Call
    subject: str
    summary: str
    actor: Actor
    reason: str = ""
    evidence: tuple[str, ...] = ()
    tainted: bool = False
    gate_class: GateClass
    needs: Needs
    rule: str
    effect: str
    diff: tuple[FieldChange, ...] = ()
    diff_is_whole: bool = True
    """Nothing of it was cut; proposal.diff has all of it."""
    blast: BlastRadius = BlastRadius()
    inverse: Call | None = None
    guard: Guard | None = None
    created_unix_ms: int
    expires_unix_ms: int
    """For people; what ends it is the lease of its live key."""
    state: ProposalState = ProposalState.PENDING
    votes: tuple[Vote, ...] = ()
    ended: str = ""
    """Why it ended as it did, in words."""
    changed_since: tuple[FieldChange, ...] = ()
    """Of a stale one: the diff that the same request would have now."""
    applied_revision: int = 0
    """What it was applied on; the next one of this record is the change's own."""
    trace_id: str = ""

    @property
    def waits(self) -> bool:
        return self.state in _WAITING


def read_proposal(raw: bytes) -> Proposal | None:
    """None for one that this version cannot read, as a newer one may have written it."""
    try:
        return msgspec.json.decode(raw, type=Proposal)
    except msgspec.DecodeError:
        return None


def moved(proposal: Proposal, event: ProposalEvent, ended: str = "", **members: object) -> Proposal:
    """The proposal after the event. Raises IllegalMove."""
    state = advance(proposal.state, event)
    return msgspec.structs.replace(proposal, state=state, ended=ended, **members)


def shortened(rows: tuple[FieldChange, ...], *, bytes_max: int = ROWS_BYTES_MAX) -> tuple[FieldChange, ...]:
    """As many rows as fit beside a request; a last one says how many do not."""
    size = 0
    for number, row in enumerate(rows):
        size += len(msgspec.json.encode(row))
        if size > bytes_max:
            return (*rows[:number], FieldChange(key="…", after=f"{len(rows) - number} more"))
    return rows


def with_vote(proposal: Proposal, vote: Vote) -> Proposal:
    """A principal's newest vote replaces its earlier one. Of who voted, what the vote needs is kept."""
    kept = tuple(each for each in proposal.votes if each.voter.id != vote.voter.id)
    voter = Actor(kind=vote.voter.kind, id=vote.voter.id, role=vote.voter.role)
    mine = msgspec.structs.replace(vote, voter=voter, reason=vote.reason[:VOTE_REASON_CHARS])
    return msgspec.structs.replace(proposal, votes=(*kept, mine))


def why_not(proposal: Proposal, voter: Actor) -> str:
    """Why that voter's vote would not count; empty if it would."""
    if not voter.is_human or voter.acts_as_agent:
        return "only people approve"
    if voter.id in {each.id for each in proposal.actor.chain()}:
        return "who asked for a change, or whom an agent acts for, does not decide about it"
    if not voter.may(proposal.needs.role, proposal.subject):
        return f"this needs the role {proposal.needs.role}"
    return ""


def valid_votes(proposal: Proposal, voters: Mapping[str, Actor]) -> tuple[Vote, ...]:
    """Approvals that count, given what each voter may do now: a revoked role voids a vote."""
    return tuple(
        vote
        for vote in proposal.votes
        if vote.approve and (now := voters.get(vote.voter.id)) is not None and not why_not(proposal, now)
    )


def is_approved(proposal: Proposal, voters: Mapping[str, Actor]) -> bool:
    """Enough distinct people, and an owner or admin among them where that is asked for."""
    votes = valid_votes(proposal, voters)
    distinct = {vote.voter.id for vote in votes}
    return len(distinct) >= proposal.needs.approvers > 0 and (
        not proposal.needs.owner or _has_owner(proposal, [voters[identity] for identity in distinct])
    )


def _has_owner(proposal: Proposal, voters: Sequence[Actor]) -> bool:
    return any(proposal.subject in voter.owns or at_least(voter.role, Role.ADMIN) for voter in voters)
