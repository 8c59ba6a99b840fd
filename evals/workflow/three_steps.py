"""The run that is watched: an operation that is applied at once, one that waits for an approval, and an effect outside
of the store that nobody can repeat. Then it ends, or fails and undoes all three."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from controllers.gate.errors import GateFault
from evals.workflow.counting import ADD, TAKE
from runtime.names import Sha256
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Dispatcher, Proposed, Submission
from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import (
    Action,
    Did,
    Directive,
    Do,
    Done,
    Fail,
    Finish,
    Flow,
    NotDone,
    RetryPolicy,
    RunView,
    StepContext,
    Unknown,
    Waits,
)

KIND: Final = "three-steps"
STEPS: Final = ("apply", "approve", "charge")
RETRY: Final = RetryPolicy(attempts=4, first_s=0.5, most_s=4.0)


class Door(Dispatcher, Protocol):
    """The gate, as actions use it."""

    async def answered(self, submission: Submission) -> Applied | Proposed | None:
        """What was answered under its key."""
        ...

    async def ended(self, proposal: str) -> str:
        """The state that it ended in; empty while it waits."""
        ...

    async def withdraw(self, proposal: str, actor: Actor) -> None:
        """Raises GateFault where it has ended."""
        ...


class Bank(Protocol):
    """What the store knows nothing of. Asked about a charge, it takes none any more from an earlier leader."""

    def charge(self, key: str, epoch: int) -> None:
        """Raises StepFailed."""
        ...

    def look(self, key: str, epoch: int) -> bool | None:
        """Whether it was charged; None where nobody can tell."""
        ...

    def refund(self, key: str) -> None:
        """Once more changes nothing."""
        ...

    def charges(self, key: str) -> int: ...

    def stands(self, key: str) -> int:
        """Charges less refunds."""
        ...


@dataclass
class Outside:
    """Implements Bank in memory; one that is `clueless` cannot be asked."""

    clueless: bool = False
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    epochs: dict[str, int] = field(default_factory=dict)
    """By key, the newest leader's that asked about it."""

    def charge(self, key: str, epoch: int) -> None:
        """Raises StepFailed."""
        if epoch < self.epochs.get(key, 0):
            raise StepFailed("too_late", "a newer leader has asked about it")
        self.charged[key] += 1

    def look(self, key: str, epoch: int) -> bool | None:
        return None if self.clueless else self.seen_by_person(key, epoch)

    def seen_by_person(self, key: str, epoch: int) -> bool:
        """Who goes there in person is told in any case, and sees to it that nothing comes late."""
        self.epochs[key] = max(epoch, self.epochs.get(key, 0))
        return bool(self.charged[key])

    def refund(self, key: str) -> None:
        self.refunded[key] = self.charged[key]

    def charges(self, key: str) -> int:
        return self.charged[key]

    def stands(self, key: str) -> int:
        return self.charged[key] - self.refunded[key]


class ThreeSteps:
    def next(self, run: RunView) -> Directive:
        for name in STEPS:
            step = run.step(name)
            if step is None:
                effect = Effect.ONCE if name == "charge" else Effect.IDEMPOTENT
                return Do(step=name, action=name, input={}, effect=effect, timeout_s=30, retry=RETRY, undo=True)
            if step.state == "failed" and step.error is not None:
                return Fail(code=step.error.code, detail=step.error.detail, undo=True)
        return Fail(code="wished", detail="it shall be undone", undo=True) if run.input["fails"] else Finish()


class Submits:
    """An operation of the catalogue under the step's key, at once or once somebody approves."""

    def __init__(self, door: Door, *, propose: bool) -> None:
        self._door = door
        self._propose = propose

    async def run(self, context: StepContext) -> Did | Waits:
        if context.signal is not None:
            if context.signal.data["state"] == "applied":
                return Did()
            raise StepFailed("not_approved", str(context.signal.data["state"]))
        outcome = await self._door.submit(self._asked(context, ADD))
        match outcome:
            case Proposed(proposal=proposal):
                return Waits(f"proposal/{proposal}")
            case Applied():
                return Did()
        raise StepFailed("refused", repr(outcome), again=True)

    async def probe(self, context: StepContext) -> Done | NotDone | Unknown:
        found = await self._door.answered(self._asked(context, ADD))
        if isinstance(found, Proposed):
            state = await self._door.ended(found.proposal)
            return Done() if state == "applied" else NotDone() if state else Unknown("it waits for an approval")
        return Done() if found is not None else NotDone()

    async def abandon(self, context: StepContext) -> None:
        """Nobody shall approve it now."""
        found = await self._door.answered(self._asked(context, ADD))
        if isinstance(found, Proposed):
            with contextlib.suppress(GateFault):
                await self._door.withdraw(found.proposal, self._actor(context))

    async def undo(self, context: StepContext, _result: dict[str, Json]) -> None:
        outcome = await self._door.submit(self._asked(context, TAKE))
        if not isinstance(outcome, Applied):
            raise StepFailed("refused", repr(outcome), again=True)

    def _asked(self, context: StepContext, operation: str) -> Submission:
        return Submission(
            operation=operation,
            request={"name": f"{context.run.id}-{context.step}"},
            actor=self._actor(context),
            idempotency_key=context.key if operation == ADD else f"{context.key}/undo",
            propose=self._propose and operation == ADD,
        )

    def _actor(self, context: StepContext) -> Actor:
        return Actor(kind=ActorKind.PLAYBOOK, id="playbook:watched", role=Role.OPERATOR, behind=context.run.actor)


class Charges:
    """Not repeatable, and outside: between the effect and its outcome the leader may die."""

    def __init__(self, outside: Bank, pause: Callable[[], Awaitable[None]]) -> None:
        self._outside = outside
        self._pause = pause

    async def run(self, context: StepContext) -> Did | Waits:
        await self._pause()
        self._outside.charge(context.key, context.epoch)
        await self._pause()
        return Did()

    async def probe(self, context: StepContext) -> Done | NotDone | Unknown:
        await self._pause()
        found = self._outside.look(context.key, context.epoch)
        if found is None:
            return Unknown("the bank does not answer")
        return Done() if found else NotDone()

    async def undo(self, context: StepContext, _result: dict[str, Json]) -> None:
        await self._pause()
        self._outside.refund(context.key)
        await self._pause()


class ThreeStepsKind:
    """Of one leader: its actions reach the cluster through it."""

    name = KIND

    def __init__(self, door: Door, outside: Bank, pause: Callable[[], Awaitable[None]]) -> None:
        self._actions: dict[str, Action] = {
            "apply": Submits(door, propose=False),
            "approve": Submits(door, propose=True),
            "charge": Charges(outside, pause),
        }

    def load(self, definition: bytes) -> Flow:
        return ThreeSteps()

    def action(self, name: str) -> Action:
        return self._actions[name]


class OneDefinition:
    """Implements Definitions and Results: what is read is always there, and nothing here is long."""

    async def read(self, sha256: Sha256) -> bytes:
        return b""

    async def keep(self, run: str, raw: bytes) -> Sha256:
        raise AssertionError("no result is that long")

    async def drop(self, run: str, sha256: Sha256) -> None:
        raise AssertionError("no result is that long")
