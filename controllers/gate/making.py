"""What is made outside of plans, so that planning stays pure: new keys, and the time at which something began."""

from __future__ import annotations

from collections.abc import Callable
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
DATED: Final = frozenset({CREATE_KEY, "principal.set", "controller.pin"})
"""Their records say since when they are."""


class Gatekeeper(Dispatcher, Protocol):
    """The gate, wherever it is."""

    async def vote(self, cast: VoteCast) -> Proposal | Refused: ...

    async def withdraw(self, withdrawal: Withdrawal) -> Proposal | Refused: ...

    async def close(self, closing: Closing) -> Review | Refused: ...


class MakingGate:
    """Implements Gatekeeper before another. A key is made here, on the node that was asked: only its hash goes on, to
    the leader, into the store, the audit and the kept answers; the key itself is in this one answer alone."""

    def __init__(self, inner: Gatekeeper, clock: Clock, *, new_key: Callable[[], str] = new_secret) -> None:
        self._inner = inner
        self._clock = clock
        self._new_key = new_key

    async def submit(self, submission: Submission) -> Outcome:
        if submission.operation not in DATED:
            return await self._inner.submit(submission)
        made: dict[str, Json] = {"created_unix_ms": self._clock.unix_ms()}
        key = ""
        if submission.operation == CREATE_KEY and not submission.request.get("sha256"):
            key = self._new_key()
            made["sha256"] = hash_of(key)
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
