"""The one port through which state is changed."""

from __future__ import annotations

from typing import Protocol

import msgspec

from runtime.operations.actor import Actor
from runtime.operations.plan import BlastRadius, Call, FieldChange, Json


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """What undoes a change by itself: the slice's metric beyond its bound, within the window after it was applied."""

    slice: str
    metric: str
    """One of errors_share (0 to 1), p50_ms, p95_ms, p99_ms, rejected (a second)."""
    bound: float
    window_s: int


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done. `request` is the operation's request as plain data."""

    operation: str
    request: dict[str, Json]
    actor: Actor
    reason: str = ""
    idempotency_key: str = ""
    dry_run: bool = False
    propose: bool = False
    """Wait for an approval even where the gate would act at once."""
    break_glass: bool = False
    """An admin's override of a needed approval; `reason` is compulsory, and a review is opened."""
    evidence: tuple[str, ...] = ()
    tainted: bool = False
    """The evidence holds text from outside (logs, users): it may have been written to mislead."""
    conversation: str = ""
    """The conversation that it came from: if that is tainted, so is this."""
    card: str = ""
    """The card of that conversation that it makes: what comes of it is told there."""
    if_match: int = 0
    """Only if the subject's keys have not changed since this revision; 0 is whatever they are."""
    guard: Guard | None = None
    undoes: str = ""
    """The applied proposal whose inverse this is: it is rolled back then, once."""
    takes_back: str = ""
    """The audit record of the change whose inverse this is, where the same actor takes its own change back."""
    trace_id: str = ""
    request_id: str = ""
    made: dict[str, Json] = {}
    """Members of the request that were made when it was taken, such as the hash of a new key: not a part of what an
    idempotency key stands for, nor of the audit."""

    @property
    def full_request(self) -> dict[str, Json]:
        return {**self.request, **self.made}


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as people and programs see it, with what the gate says of it."""

    operation: str
    subject: str
    summary: str
    diff: tuple[FieldChange, ...]
    blast: BlastRadius
    inverse: Call | None
    estimated_ms: int
    gate_class: str
    decision: str
    """act, propose or refuse."""
    rule: str
    """Which rule of the policy said so, and in words why."""
    approvers: str
    effect: str
    """The hash that an approval would be bound to."""
    revision: int
    result: dict[str, Json] = {}


class Planned(msgspec.Struct, frozen=True, kw_only=True, tag="planned"):
    """The answer to a dry run."""

    plan: PlanView


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="applied"):
    revision: int
    operation: str
    subject: str
    summary: str
    result: dict[str, Json]
    gate_class: str
    rule: str
    audit: str
    """The id of its audit record."""
    inverse: Call | None = None
    repeated: bool = False
    """The first answer to this idempotency key, told again."""


class Proposed(msgspec.Struct, frozen=True, kw_only=True, tag="proposed"):
    proposal: str
    summary: str
    gate_class: str
    rule: str
    approvers: str
    expires_unix_ms: int
    revision: int
    repeated: bool = False
    result: dict[str, Json] = {}
    """What only this answer tells: a new key."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    code: str
    detail: str
    remedy: str = ""
    retryable: bool = False
    rule: str = ""
    where: dict[str, Json] = {}


Outcome = Planned | Applied | Proposed | Refused


class Dispatcher(Protocol):
    """plan → gate → apply or propose → audit. Raises StoreFault when nothing can be decided, such as without quorum."""

    async def submit(self, submission: Submission) -> Outcome: ...
