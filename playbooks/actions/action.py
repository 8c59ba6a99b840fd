"""A typed action in Python: what it takes, what it gives, and how its effect is predicted, looked for and undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeVar, cast

import msgspec

from playbooks.ports import PlaybookPorts
from runtime.operations.actor import Actor
from runtime.operations.operation import Effect
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Done, NotDone, StepContext, Unknown, Waits


class ActionInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what actions take: members carry their limits, units and meaning as msgspec.Meta."""


class ActionOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what actions give."""


InT = TypeVar("InT", bound=ActionInput)
OutT = TypeVar("OutT", bound=ActionOutput)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """`actor`: the playbook, with its starter behind it. `context.key` is the idempotency key."""

    ports: PlaybookPorts
    actor: Actor
    context: StepContext


class PlaybookAction(Generic[InT, OutT]):
    """One action. Those that change nothing need `run` alone; those with an effect also need what else is here."""

    name: ClassVar[str]
    summary: ClassVar[str]
    effect: ClassVar[Effect]
    input: type[InT]
    output: type[OutT]
    undoes: ClassVar[bool] = False
    """It can undo what it did."""
    local: ClassVar[bool] = False
    """It touches the node that it runs on alone: for offline playbooks, and for no others."""

    async def run(self, call: ActionCall, wanted: InT) -> OutT | Waits:
        """With Waits it is called again once the signal is there (`call.context.signal`). Raises StepFailed."""
        raise NotImplementedError

    def plan(self, state: PlanState, wanted: InT) -> Plan | None:
        """What it would change in the state; None where it cannot tell: then it is counted as opaque."""
        return None

    async def probe(self, call: ActionCall, wanted: InT) -> Done | NotDone | Unknown:
        """Whether an attempt that nobody recorded took effect."""
        return Unknown(f"{self.name} cannot tell whether it took effect")

    async def undo(self, call: ActionCall, wanted: InT, did: OutT) -> None:
        """May be called again for what is undone already. Raises StepFailed."""
        raise StepFailed("undo_missing", f"{self.name} cannot be undone")


AnyAction = PlaybookAction[ActionInput, ActionOutput]


class ActionShelf:
    """The actions there are, by name."""

    def __init__(self, actions: Iterable[object]) -> None:
        self._by_name: Final = {each.name: each for each in (cast(AnyAction, one) for one in actions)}

    def __iter__(self) -> Iterator[AnyAction]:
        return iter(self._by_name.values())

    def find(self, name: str) -> AnyAction | None:
        return self._by_name.get(name)
