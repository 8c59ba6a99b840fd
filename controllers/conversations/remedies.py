"""How a remedy that waits for people is named, by who began it and by who goes on with it."""

from __future__ import annotations

from typing import Final, NamedTuple

from controllers.gate.proposals import Proposal
from runtime.operations.actor import ActorKind

_MARK: Final = "run:"


class RunOf(NamedTuple):
    """The turn of a conversation that a proposal comes from."""

    conversation: str
    number: int

    @property
    def thread(self) -> str:
        """Of its remedy, on the conversation's shelf."""
        return f"remedy:{self.number}"

    @property
    def shelved(self) -> str:
        """What names on the shelf begin with, while it waits."""
        return f"-{self.thread}/"

    @property
    def evidence(self) -> str:
        """As it stands first among a proposal's evidence."""
        return f"{_MARK}{self.conversation}/{self.number}"

    @property
    def id(self) -> str:
        return f"{self.conversation}/{self.number}"


def run_of(proposal: Proposal) -> RunOf | None:
    """None where no model's turn proposed it."""
    if proposal.actor.kind is not ActorKind.MODEL or not proposal.evidence:
        return None
    mark, _, name = proposal.evidence[0].partition(_MARK)
    conversation, _, number = name.rpartition("/")
    if mark or not conversation or not number.isdecimal():
        return None
    return RunOf(conversation, int(number))
