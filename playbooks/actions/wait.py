"""To let time pass. The flow sleeps; nothing is done meanwhile, and a new leader goes on where the time stands."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from playbooks.document.duration import DurationText
from runtime.operations.operation import Effect

WAIT: Final = "wait"


class WaitIn(ActionInput, frozen=True, kw_only=True):
    for_: Annotated[DurationText, msgspec.Meta(description="How long.")] = msgspec.field(name="for")


class WaitOut(ActionOutput, frozen=True, kw_only=True):
    for_: str = msgspec.field(name="for")


class Wait(PlaybookAction[WaitIn, WaitOut]):
    name = WAIT
    summary = "Let time pass."
    effect = Effect.READ
    input = WaitIn
    output = WaitOut

    async def run(self, call: ActionCall, wanted: WaitIn) -> WaitOut:
        """Only says for how long: the flow sleeps from here on."""
        return WaitOut(for_=wanted.for_)
