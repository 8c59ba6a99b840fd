"""To stop where something is not as it must be."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from runtime.operations.operation import Effect
from runtime.workflow.errors import StepFailed

ASSERT: Final = "assert"


class AssertIn(ActionInput, frozen=True, kw_only=True):
    that: Annotated[bool, Meta(description='Mostly an expression: { cel = "…" }.')]
    why: Annotated[str, Meta(max_length=300, description="What it means where it is not so.")]


class AssertOut(ActionOutput, frozen=True, kw_only=True):
    held: bool


class Assert(PlaybookAction[AssertIn, AssertOut]):
    name = ASSERT
    summary = "Go on only if something is so."
    effect = Effect.READ
    input = AssertIn
    output = AssertOut

    async def run(self, call: ActionCall, wanted: AssertIn) -> AssertOut:
        if not wanted.that:
            raise StepFailed("assertion_failed", wanted.why)
        return AssertOut(held=True)
