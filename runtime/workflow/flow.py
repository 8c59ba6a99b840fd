"""What stands on the kernel: a flow says what comes next, actions do it. Both are given, never stored: a run is
recorded data, and any leader can go on from what is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from runtime.names import Sha256
from runtime.operations.actor import Actor
from runtime.operations.operation import Effect
from runtime.operations.plan import Json

StepState = Literal["begun", "waiting", "done", "failed", "undone", "skipped"]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a step is tried, and how long the engine waits between two attempts: `first_s` doubled with each,
    `most_s` at most, less up to half of it by the run's id and the attempt, so that equal runs do not come together."""

    attempts: int = 1
    first_s: float = 1.0
    most_s: float = 30.0


class Do(msgspec.Struct, frozen=True, kw_only=True, tag="do"):
    """Begin this step. A step that has ended is never begun again by itself."""

    step: str
    """Unique in the run, such as "cordon" or "cordon/verify"."""
    action: str
    """The name of an action that the run's kind knows."""
    input: dict[str, Json]
    effect: Effect
    timeout_s: float
    """Of one attempt; what a step waits for has a limit of its own."""
    retry: RetryPolicy = RetryPolicy()
    undo: bool = False
    """The action has an undo that compensation shall call."""


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag="wait"):
    """Until the signal is there or the time has come; then the flow is asked again."""

    signal: str
    until_unix_ms: int | None = None


class Sleep(msgspec.Struct, frozen=True, kw_only=True, tag="sleep"):
    until_unix_ms: int


class Finish(msgspec.Struct, frozen=True, kw_only=True, tag="finish"):
    result: dict[str, Json] = {}


class Fail(msgspec.Struct, frozen=True, kw_only=True, tag="fail"):
    """undo: compensate first."""

    code: str
    detail: str
    undo: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Park the run until a person resumes it, tries a step again or cancels."""

    detail: str


Directive = Do | Wait | Sleep | Finish | Fail | Ask


class StepError(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    detail: str
    retryable: bool = False


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step as flows see it. One that was compacted away (`RunView.steps` keeps its place) has an empty result."""

    step: str
    action: str
    state: StepState
    attempt: int
    began_unix_ms: int
    ended_unix_ms: int
    """0 while it lasts."""
    result: dict[str, Json] = {}
    error: StepError | None = None


class SignalView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    at_unix_ms: int
    by: str
    data: dict[str, Json] = {}


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a flow may decide from. `steps` are in the order in which they began."""

    id: str
    kind: str
    definition: Sha256
    input: dict[str, Json]
    actor: Actor
    trigger: dict[str, Json]
    state: str
    depth: int
    parent: str
    began_unix_ms: int
    now_unix_ms: int
    steps: tuple[StepView, ...] = ()
    signals: tuple[SignalView, ...] = ()
    fences: dict[str, int] = {}
    """By lock, the number that it was granted with: only growing, for what checks it."""

    def step(self, name: str) -> StepView | None:
        return next((each for each in self.steps if each.step == name), None)

    def signal(self, name: str) -> SignalView | None:
        return next((each for each in self.signals if each.name == name), None)


class Flow(Protocol):
    def next(self, run: RunView) -> Directive:
        """Pure: from equal views comes the equal directive. It is asked only while no step is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What an action gets."""

    run: RunView
    step: str
    attempt: int
    key: str
    """The idempotency key, "run/step": the same over attempts and leaders."""
    input: dict[str, Json]
    began_unix_ms: int
    """Of the first attempt."""
    epoch: int = 0
    """Grows each time another leader takes the run over: what takes effects can refuse those of an earlier one."""
    signal: SignalView | None = None
    """The one that the step waited for."""
    note: dict[str, Json] = field(default_factory=dict)
    """Of the `Waits` that the step waited with."""


class Did(msgspec.Struct, frozen=True):
    result: dict[str, Json] = {}


class Waits(msgspec.Struct, frozen=True):
    """The step goes on when the signal is there: `run` is called again, with it and the note. When the time passes
    first, the step fails with `wait_timeout`."""

    signal: str
    until_unix_ms: int | None = None
    note: dict[str, Json] = {}


class Done(msgspec.Struct, frozen=True):
    """It has taken effect."""

    result: dict[str, Json] = {}


class NotDone(msgspec.Struct, frozen=True):
    """It has not taken effect and will not: it may be run. A leader that slept amid the attempt may wake up and go on,
    so whoever says this has made sure that an attempt of an earlier epoch comes to nothing."""


class Unknown(msgspec.Struct, frozen=True):
    """Nobody can tell: a person must."""

    detail: str


class Action(Protocol):
    """Whatever `run` raises that is no StepFailed counts as an attempt whose effect is not known."""

    async def run(self, context: StepContext) -> Did | Waits:
        """Raises StepFailed. It may be cancelled at any await."""
        ...

    async def probe(self, context: StepContext) -> Done | NotDone | Unknown:
        """Whether an attempt whose outcome nobody recorded took effect. Reads only."""
        ...

    async def undo(self, context: StepContext, result: dict[str, Json]) -> None:
        """Takes the effect back. It may be called again for what it has undone already. Raises StepFailed."""
        ...


class FlowKind(Protocol):
    @property
    def name(self) -> str: ...

    def load(self, definition: bytes) -> Flow:
        """Raises FlowInvalid."""
        ...

    def action(self, name: str) -> Action:
        """Raises KeyError."""
        ...


class Definitions(Protocol):
    async def read(self, sha256: Sha256) -> bytes:
        """The definition that a run is pinned to. Raises DefinitionNotFound."""
        ...


class SignalSource(Protocol):
    """Where signals of one kind, the first segment of their names, come from by themselves: ended proposals."""

    async def wait(self, rest: str) -> dict[str, Json]:
        """Returns the signal's data once it has come; `rest` is the name behind the first segment. It is asked anew by
        each leader."""
        ...
