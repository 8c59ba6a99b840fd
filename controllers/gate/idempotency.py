"""Answers kept for a day under their idempotency key, so that a repeat gets the first one, also from another leader."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from runtime.operations.dispatch import Applied, Proposed, Submission
from runtime.operations.plan import Refusal
from runtime.state import keys
from runtime.state.values import Value

KEY_CHARS_MAX: Final = 200
DAY_MS: Final = 24 * 60 * 60 * 1_000
LEASE_ROUND_MS: Final = 10 * 60 * 1_000  # one lease for all answers of ten minutes: each lives a day at least


class KeptAnswer(Value, frozen=True, kw_only=True):
    request: str
    """Hash of what was asked for: the same key for something else is a mistake."""
    outcome: Applied | Proposed


def answer_key(submission: Submission) -> str:
    """Of one requester's key, and a model that acts for two people is two; hashed, since all may be any text. Each
    requester has a quota of its own."""
    who = msgspec.json.encode([each.id for each in submission.actor.chain()])
    named = (hashlib.sha256(text).hexdigest() for text in (who, submission.idempotency_key.encode()))
    return f"{keys.ANSWERS}{'/'.join(named)}"


def request_hash(submission: Submission) -> str:
    """Of everything that decides what happens."""
    which = (submission.if_match, submission.guard, submission.tainted, submission.undoes)
    back = (submission.takes_back,) if submission.takes_back else ()
    how = (submission.propose, submission.break_glass, *which, *back)
    text = msgspec.json.encode((submission.operation, submission.request, how), order="sorted")
    return hashlib.sha256(text).hexdigest()


def repeated(kept: KeptAnswer, submission: Submission) -> Applied | Proposed | Refusal:
    """The first answer again, or a refusal if the key was used for something else."""
    if kept.request != request_hash(submission):
        return Refusal(
            code="idempotency_key_reused",
            detail="that Idempotency-Key was used for another request",
            remedy="Use a fresh key for each change.",
        )
    return msgspec.structs.replace(kept.outcome, repeated=True)
