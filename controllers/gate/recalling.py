"""What the gate has said before, for those who must know whether something took effect, and taking back what waits."""

from __future__ import annotations

from typing import Protocol

from controllers.gate.answers import AnswerBook
from controllers.gate.errors import GateFault
from controllers.gate.proposals import Proposal
from controllers.gate.remote import Withdrawal
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Applied, Proposed, Refused, Submission
from runtime.operations.plan import Refusal


class Withdraws(Protocol):
    async def withdraw(self, withdrawal: Withdrawal) -> Proposal | Refused: ...


class GateRecall:
    """Of any node."""

    def __init__(self, answers: AnswerBook, gate: Withdraws) -> None:
        self._answers = answers
        self._gate = gate

    async def answered(self, submission: Submission) -> Applied | Proposed | None:
        """What was answered to that submission's key; None where it never was. Raises StoreFault."""
        found = await self._answers.find(submission)
        return None if isinstance(found, Refusal) else found

    async def withdraw(self, proposal: str, actor: Actor, reason: str) -> None:
        """One that has ended stays as it is. Raises StoreFault."""
        try:
            await self._gate.withdraw(Withdrawal(proposal=proposal, actor=actor, reason=reason))
        except GateFault:  # it ended meanwhile: how, the proposal says
            return
