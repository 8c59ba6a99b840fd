"""What is made outside of plans, so that planning stays pure: new keys, and the time at which something began."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from controllers.gate.proposals import Proposal
from controllers.gate.remote import Closing, VoteCast, Withdrawal
from controllers.gate.reviews import Review
from runtime.clock import Clock
from runtime.operations.dispatch import Applied, Dispatcher, Outcome, Proposed, Refused, Submission
from runtime.operations.plan import Json
from runtime.security.principals import hash_of, new_secret

CREATE_KEY: Final = "key.create"
PIN: Final = "controller.pin"
_OF_RUNS: Final = frozenset({"run.pause", "run.resume", "run.cancel", "run.retry-step", "run.signal"})
SIGNED: Final = frozenset({"alert.ack", "alert.silence", "alert.test-receiver", *_OF_RUNS})
"""Their records say by whom they are, too."""
DATED: Final = frozenset({CREATE_KEY, "principal.set", PIN, "alert.receive", *SIGNED})
"""Their records say since when they are."""


class Gatekeeper(Dispatcher, Protocol):
    """The gate, wherever it is."""

    async def vote(self, cast: VoteCast) -> Proposal | Refused: ...

    async def withdraw(self, withdrawal: Withdrawal) -> Proposal | Refused: ...

    async def close(self, closing: Closing) -> Review | Refused: ...


class Maker(Protocol):
    """Makes members for the operations of a layer above."""

    def made(self, submission: Submission) -> dict[str, Json]:
        """Nothing for operations of others."""
        ...


class MakingGate:
    """Implements Gatekeeper before another. A key is made here, on the node that was asked: only its hash goes on, to
    the leader, into the store, the audit and the kept answers; the key itself is in this one answer alone."""

    def __init__(
        self,
        inner: Gatekeeper,
        clock: Clock,
        *,
        makers: Sequence[Maker] = (),
        new_key: Callable[[], str] = new_secret,
    ) -> None:
        self._inner = inner
        self._makers = tuple(makers)
        self._clock = clock
        self._new_key = new_key

    async def submit(self, submission: Submission) -> Outcome:
        if submission.operation not in DATED:
            more = {name: value for each in self._makers for name, value in each.made(submission).items()}
            return await self._inner.submit(msgspec.structs.replace(submission, made=more) if more else submission)
        made: dict[str, Json] = {"created_unix_ms": self._clock.unix_ms()}
        if submission.operation in SIGNED:
            made["signed_by"] = submission.actor.id
        key = ""
        if submission.operation == CREATE_KEY and not submission.request.get("sha256"):
            key = self._new_key()
            made["sha256"] = hash_of(key)
        if submission.operation == PIN and not submission.request.get("by"):
            made["by"] = submission.actor.id
        outcome = await self._inner.submit(msgspec.structs.replace(submission, made=made))
        return _shown(outcome, key) if key else outcome

    async def vote(self, cast: VoteCast) -> Proposal | Refused:
        return await self._inner.vote(cast)

    async def withdraw(self, withdrawal: Withdrawal) -> Proposal | Refused:
        return await self._inner.withdraw(withdrawal)

    async def close(self, closing: Closing) -> Review | Refused:
        return await self._inner.close(closing)


def _shown(outcome: Outcome, key: str) -> Outcome:
    """With the key, unless this is the first answer told again: then that answer had it."""
    if not isinstance(outcome, Applied | Proposed) or outcome.repeated:
        return outcome
    return msgspec.structs.replace(outcome, result={**outcome.result, "key": key})
