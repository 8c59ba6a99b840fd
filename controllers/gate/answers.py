"""Answers under idempotency keys: found again, and written with what they answer."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from controllers.gate.idempotency import (
    DAY_MS,
    KEY_CHARS_MAX,
    LEASE_ROUND_MS,
    KeptAnswer,
    answer_key,
    repeated,
    request_hash,
)
from runtime.clock import Clock
from runtime.consensus.store import (
    NO_LEASE,
    VALUE_BYTES_MAX,
    Compare,
    LeaseId,
    Operation,
    Put,
    Store,
    absent,
    unchanged,
)
from runtime.operations.dispatch import Applied, Proposed, Submission
from runtime.operations.plan import Refusal
from runtime.state.values import encode

AnswerT = TypeVar("AnswerT", Applied, Proposed)


class AnswerBook:
    """Of the leader. Answers lie under a lease that nobody keeps alive, so that they go after a day by themselves."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lease = NO_LEASE
        self._granted_s = 0.0

    async def find(self, submission: Submission) -> Applied | Proposed | Refusal | None:
        """What was answered to that key before. Raises StoreFault."""
        if not submission.idempotency_key or submission.dry_run:
            return None
        if len(submission.idempotency_key) > KEY_CHARS_MAX:
            return Refusal(code="request_invalid", detail=f"an Idempotency-Key has at most {KEY_CHARS_MAX} characters")
        item = (await self._store.get(answer_key(submission))).item
        if item is None:
            return None
        try:
            kept = msgspec.json.decode(item.value, type=KeptAnswer)
        except msgspec.DecodeError:
            return Refusal(
                code="idempotency_key_reused",
                detail="that Idempotency-Key was answered by a newer version, whose answer this node cannot read",
                remedy="Ask another node, or look for the change in the audit: aether audit list.",
            )
        answer = repeated(kept, submission)
        if isinstance(answer, Refusal):
            return answer
        return msgspec.structs.replace(answer, revision=int(item.mod_revision))

    def unanswered(self, submission: Submission) -> list[Compare]:
        """That nobody answered the same key meanwhile."""
        return [absent(answer_key(submission))] if submission.idempotency_key else []

    async def kept(self, submission: Submission, outcome: AnswerT) -> list[Operation]:
        """What writes the answer: its revision is that of the key."""
        if not submission.idempotency_key:
            return []
        value = _value(request_hash(submission), outcome)
        return [Put(key=answer_key(submission), value=value, lease=await self._lease_now())]

    async def _lease_now(self) -> LeaseId:
        now_s = self._clock.monotonic_s()
        if self._lease == NO_LEASE or (now_s - self._granted_s) * 1_000 > LEASE_ROUND_MS:
            self._lease = await self._store.grant(DAY_MS + LEASE_ROUND_MS)
            self._granted_s = now_s
        return self._lease

    def forget_lease(self) -> None:
        """Another store, or a restored one, may not know the lease."""
        self._lease = NO_LEASE


async def come_to(store: Store, key: str, outcome: Applied) -> tuple[list[Compare], list[Operation]]:
    """What makes the answer of a proposal, at that key, the application that it came to; nothing where none is kept any
    more. Raises StoreFault."""
    item = (await store.get(key)).item if key else None
    if item is None:
        return [], []
    try:
        asked = msgspec.json.decode(item.value, type=KeptAnswer).request
    except msgspec.DecodeError:  # a newer version's, which knows what it says
        return [], []
    return [unchanged(key, item.mod_revision)], [Put(key=key, value=_value(asked, outcome), lease=item.lease)]


def _value(asked: str, outcome: Applied | Proposed) -> bytes:
    """An inverse that leaves no room for the answer, such as a long blueprint's, is left out: the audit has it."""
    value = encode(KeptAnswer(request=asked, outcome=outcome))
    if len(value) <= VALUE_BYTES_MAX or not isinstance(outcome, Applied):
        return value
    return encode(KeptAnswer(request=asked, outcome=msgspec.structs.replace(outcome, inverse=None)))
