"""What the store keeps of runs. Only the engine of the leader writes these, but for queued runs, orders and signals."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

import msgspec

from runtime.names import Sha256
from runtime.operations.actor import Actor
from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.state.values import Value
from runtime.workflow.flow import RetryPolicy, SignalView, StepError, StepState, StepView


class RunState(StrEnum):
    QUEUED = "queued"
    BLOCKED = "blocked"
    """Waits for its locks."""
    RUNNING = "running"
    WAITING = "waiting"
    """For a signal or a time."""
    PAUSED = "paused"
    COMPENSATING = "compensating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    COMPENSATED = "compensated"
    CANCELLED = "cancelled"
    NEEDS_HUMAN = "needs_human"


HELD: Final = (RunState.PAUSED, RunState.NEEDS_HUMAN)
ENDED: Final = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.COMPENSATED, RunState.CANCELLED})
LockMode = Literal["exclusive", "shared"]
OnConflict = Literal["queue", "reject", "join"]


class LockWish(Value, frozen=True, kw_only=True):
    name: str
    mode: LockMode = "exclusive"


class StepDigest(Value, frozen=True, kw_only=True, array_like=True):
    """What is left of a step whose record was compacted away; `sha256` begins that of the record's bytes."""

    number: int
    step: str
    action: str
    state: StepState
    attempt: int
    began_unix_ms: int
    ended_unix_ms: int
    sha256: str


class RunRecord(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A run. While it compensates, `ends_as` says what it will be then, and `error` why."""

    id: str
    kind: str
    title: str = ""
    """For people, such as a playbook's id and version."""
    definition: Sha256
    input: dict[str, Json] = msgspec.field(default_factory=dict)
    actor: Actor
    trigger: dict[str, Json] = msgspec.field(default_factory=dict)
    parent: str = ""
    root: str = ""
    """The oldest ancestor, itself where it has none: locks are held by families."""
    depth: int = 0
    locks: tuple[LockWish, ...] = ()
    on_conflict: OnConflict = "queue"
    limit_s: int = 0
    """Of the whole run from its beginning; 0 is none. What is beyond it is compensated."""
    undo_budget_s: int = 600
    """Of the compensation, whatever is left of `limit_s`."""
    trace_id: str = ""
    created_unix_ms: int
    state: RunState = RunState.QUEUED
    reason: str = ""
    """Why it is blocked, paused or parked, in words."""
    began_unix_ms: int = 0
    ended_unix_ms: int = 0
    epoch: int = 0
    steps: int = 0
    """How many had begun when this was written; steps themselves do not write the run anew."""
    fences: dict[str, int] = msgspec.field(default_factory=dict)
    paused_unix_ms: int = 0
    """Since when, while it is paused."""
    paused_ms: int = 0
    """How long it was, before: that counts for no limit."""
    wake_unix_ms: int = 0
    waits_for: str = ""
    result: dict[str, Json] = msgspec.field(default_factory=dict)
    error: StepError | None = None
    ends_as: Literal["", "failed", "compensated", "cancelled"] = ""
    undo_until_unix_ms: int = 0
    undo_left: tuple[str, ...] = ()
    """Steps that a person gave up undoing: their effects stand."""
    digests: tuple[StepDigest, ...] = ()
    unsettled: tuple[str, ...] | None = None
    """While it is held: the steps of which a person may say what becomes of them. None where nobody noted it. They
    stand here since nodes keep no steps at hand, and orders are planned from what they keep."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED


UndoState = Literal["", "begun", "done", "failed"]


class StepRecord(Value, frozen=True, kw_only=True, omit_defaults=True):
    """INTENT while `state` is begun, OUTCOME after it. The undo of a step is an intent and an outcome of its own."""

    number: int
    step: str
    action: str
    input: dict[str, Json] = msgspec.field(default_factory=dict)
    effect: Effect
    timeout_s: float
    retry: RetryPolicy = RetryPolicy()
    undo: bool = False
    state: StepState = "begun"
    epoch: int = 0
    """Of the leader that began the present attempt."""
    takeovers: int = 0
    attempt: int = 1
    began_unix_ms: int
    ended_unix_ms: int = 0
    wake_unix_ms: int = 0
    """When the next attempt may begin, or how long a waiting step waits; 0 is at once, or for ever."""
    signal: str = ""
    note: dict[str, Json] = msgspec.field(default_factory=dict)
    result: dict[str, Json] = msgspec.field(default_factory=dict)
    result_sha256: str = ""
    """Where the result is too long for the store."""
    error: StepError | None = None
    unknown: bool = False
    """An attempt was made whose outcome only `probe` can tell."""
    abandoned: bool = False
    """The run goes backwards, and what the step asked for has been taken back."""
    resolved_by: str = ""
    """Who said what came of it, where nobody could tell: "probe" or a person's id."""
    undo_state: UndoState = ""
    undo_attempt: int = 0
    undo_wake_unix_ms: int = 0
    undo_error: StepError | None = None


def is_unsettled(step: StepRecord) -> bool:
    return step.state in ("begun", "waiting", "failed") or step.undo_state == "failed"


OrderKind = Literal["pause", "resume", "cancel", "retry-step"]


class RunOrder(Value, frozen=True, kw_only=True):
    """What somebody wants done with a run; the engine takes it away when it has done it."""

    order: OrderKind
    by: str
    reason: str = ""
    undo: bool = True
    """Of a cancel: compensate what was done."""
    step: str = ""
    outcome: Literal["again", "done", "skipped"] = "again"
    """Of a retry: try it again, or take a person's word for what came of it."""


class SignalRecord(Value, frozen=True, kw_only=True):
    name: str
    at_unix_ms: int
    by: str
    data: dict[str, Json] = msgspec.field(default_factory=dict)


class LockHolder(Value, frozen=True, kw_only=True):
    run: str
    mode: LockMode
    number: int
    since_unix_ms: int


class LockWaiter(Value, frozen=True, kw_only=True):
    run: str
    mode: LockMode
    since_unix_ms: int


class LockRecord(Value, frozen=True, kw_only=True):
    """Who has a lock and who waits for it, in the order in which they came. It goes when nobody does."""

    name: str
    holders: tuple[LockHolder, ...] = ()
    waiters: tuple[LockWaiter, ...] = ()


def view_of_step(step: StepRecord) -> StepView:
    return StepView(
        step=step.step,
        action=step.action,
        state=step.state,
        attempt=step.attempt,
        began_unix_ms=step.began_unix_ms,
        ended_unix_ms=step.ended_unix_ms,
        result=step.result,
        error=step.error,
    )


def view_of_digest(digest: StepDigest) -> StepView:
    return StepView(
        step=digest.step,
        action=digest.action,
        state=digest.state,
        attempt=digest.attempt,
        began_unix_ms=digest.began_unix_ms,
        ended_unix_ms=digest.ended_unix_ms,
    )


def view_of_signal(signal: SignalRecord) -> SignalView:
    return SignalView(name=signal.name, at_unix_ms=signal.at_unix_ms, by=signal.by, data=signal.data)
