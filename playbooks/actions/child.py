"""A playbook that starts another one, and goes on once that has ended well."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from playbooks.document.duration import milliseconds
from playbooks.document.model import START
from playbooks.records import run_in
from playbooks.starting import Makers
from runtime.operations import subjects
from runtime.operations.dispatch import Applied, Proposed, Refused, Submission
from runtime.operations.fields import NAME_PATTERN
from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Done, NotDone, StepError, Unknown, Waits
from runtime.workflow.records import RunState

SIGNAL: Final = "run/"


class StartIn(ActionInput, frozen=True, kw_only=True):
    playbook: Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63)]
    version: Annotated[str, Meta(max_length=20, description="Empty is the newest.")] = ""
    params: dict[str, Json] = msgspec.field(default_factory=dict)


class StartOut(ActionOutput, frozen=True, kw_only=True):
    run: str
    result: dict[str, Json] = msgspec.field(default_factory=dict)


class StartPlaybook(PlaybookAction[StartIn, StartOut]):
    """It has its parent's locks, and counts for its depth: three at most. Started once, whoever asks how often."""

    name = START
    summary = "Start another playbook, and wait until it has ended well."
    effect = Effect.IDEMPOTENT
    input = StartIn
    output = StartOut

    async def run(self, call: ActionCall, wanted: StartIn) -> StartOut | Waits:
        """Waits for what the kernel tells with the other run's end; while that waits for a person, so does this."""
        told = call.context.signal
        if told is not None:
            return _ended(told.name.removeprefix(SIGNAL), wanted, told.data)
        identity = await self._started(call, wanted)
        run = run_in(call.ports.state, identity)
        if run is not None and run.ended:
            return _ended(identity, wanted, {"state": run.state, "result": run.result, "error": run.error})
        limit_ms = milliseconds(str(call.context.input["limit"]))
        return Waits(f"{SIGNAL}{identity}", until_unix_ms=call.context.began_unix_ms + limit_ms)

    async def probe(self, call: ActionCall, wanted: StartIn) -> Done | NotDone | Unknown:
        """Of a run that has ended otherwise than well, nothing is left to undo here: it has undone that itself."""
        found = await call.ports.recalls.answered(self._submission(call, wanted))
        if not isinstance(found, Applied):
            return NotDone()
        identity = str(found.result["run"])
        run = run_in(call.ports.state, identity)
        if run is not None and not run.ended:
            return Unknown(f"run {identity} of {wanted.playbook} is {run.state}")
        if run is None or run.state is not RunState.SUCCEEDED:
            return NotDone()
        return Done({"run": identity, "result": run.result})

    def _submission(self, call: ActionCall, wanted: StartIn) -> Submission:
        parent = call.context.run
        trigger: dict[str, Json] = {"kind": "playbook", "by": str(parent.input.get("playbook", "")), "run": parent.id}
        return Submission(
            operation="playbook.run",
            request={"playbook": wanted.playbook, "version": wanted.version, "params": wanted.params},
            actor=call.actor,
            reason=f"a step of run {parent.id}",
            evidence=(subjects.of_run(parent.id),),
            idempotency_key=call.context.key,
            made=Makers(call.ports.clock, call.ports.new_id).run_of(call.actor, trigger, parent.id),
        )

    async def _started(self, call: ActionCall, wanted: StartIn) -> str:
        outcome = await call.ports.dispatcher.submit(self._submission(call, wanted))
        match outcome:
            case Applied():
                return str(outcome.result["run"])
            case Refused():
                raise StepFailed(outcome.code, outcome.detail, again=outcome.retryable)
            case Proposed():
                raise StepFailed("child_waits", f"its start waits for people: {outcome.proposal}", again=True)
            case _:
                raise AssertionError(outcome)


def _ended(identity: str, wanted: StartIn, told: dict[str, object]) -> StartOut:
    """Raises StepFailed."""
    ended = msgspec.convert(told, _Ended, from_attributes=True)
    if ended.state == RunState.SUCCEEDED:
        return StartOut(run=identity, result=ended.result)
    why = f": {ended.error.detail}" if ended.error is not None else ""
    raise StepFailed("child_failed", f"run {identity} of {wanted.playbook} is {ended.state}{why}")


class _Ended(msgspec.Struct):
    """As the kernel tells it."""

    state: str
    result: dict[str, Json] = {}
    error: StepError | None = None
