"""Steps that only look: conditions, verifications, and what an effect would be."""

from __future__ import annotations

from typing import Final

import anyio
import msgspec

from controllers.gate.proposals import shortened
from playbooks.actions.action import ActionShelf
from playbooks.actions.standing import actor_of, filled_in, reason_of, seen_by
from playbooks.document.duration import milliseconds
from playbooks.errors import ExpressionInvalid
from playbooks.expressions.evaluation import Evaluated, evaluated, evidence_of
from playbooks.expressions.picture import Picture
from playbooks.ports import PlaybookPorts
from runtime.operations.dispatch import Planned, Refused, Submission
from runtime.operations.operation import Change
from runtime.operations.plan import Json
from runtime.operations.state import PlanState
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Did, Done, NotDone, StepContext, Unknown, Waits

DIFF_BYTES_MAX: Final = 6 * 1024  # of a result's 16 KiB: the flow reads it, and would not find what is longer
LOOK_S: Final = 0.5  # between looks while nothing of the state changes: figures do


class ReadAction:
    """Base of actions without an effect: there is nothing to probe and nothing to undo."""

    def __init__(self, ports: PlaybookPorts) -> None:
        self._ports = ports

    async def probe(self, context: StepContext) -> Done | NotDone | Unknown:
        return NotDone()

    async def undo(self, context: StepContext, result: dict[str, Json]) -> None:
        return None


class CheckAction(ReadAction):
    """All conditions on one picture. With `ask` it only says whether they hold."""

    async def run(self, context: StepContext) -> Did | Waits:
        rows = msgspec.convert(context.input["conditions"], list[dict[str, str]])
        picture, seen = self._ports.picture(), seen_by(context.run)
        found = [(_evaluated(row["cel"], picture, seen), row["why"]) for row in rows]
        lacking = next(((each, why) for each, why in found if not each.holds), None)
        if lacking is not None and context.input.get("ask") is not True:
            each, why = lacking
            raise StepFailed("precondition_failed", f"{why}: {_told(each)}")
        return Did({"holds": lacking is None, "evidence": evidence_of([each for each, _ in found])})


class VerifyAction(ReadAction):
    """Until it has held for as long as it must. A new leader looks anew, within the same limit."""

    async def run(self, context: StepContext) -> Did | Waits:
        text = str(context.input["cel"])
        hold_ms = milliseconds(str(context.input["hold"]))
        until_ms = context.began_unix_ms + milliseconds(str(context.input["within"]))
        since_ms: int | None = None
        while True:
            now_ms = self._ports.clock.unix_ms()
            last = _evaluated(text, self._ports.picture(), seen_by(context.run))
            since_ms = (since_ms if since_ms is not None else now_ms) if last.holds else None
            if since_ms is not None and now_ms - since_ms >= hold_ms:
                return Did({"evidence": evidence_of([last]), "held_ms": now_ms - since_ms})
            if since_ms is None and now_ms >= until_ms:
                why = f"{context.input['why']}: " if context.input.get("why") else ""
                raise StepFailed("verification_failed", f"{why}{_told(last)}")
            with anyio.move_on_after(LOOK_S):
                await self._ports.moved()


class PlanAction(ReadAction):
    """What a step would do now, as the gate sees it: the request that is then made, its diff and its blast radius."""

    def __init__(self, ports: PlaybookPorts, actions: ActionShelf) -> None:
        super().__init__(ports)
        self._actions = actions

    async def run(self, context: StepContext) -> Did | Waits:
        request = filled_in(self._ports, context.run, msgspec.convert(context.input["with"], dict[str, Json]))
        name = str(context.input["uses"])
        action = self._actions.find(name)
        if action is not None:
            try:
                wanted = msgspec.convert(request, action.input)
            except msgspec.ValidationError as error:
                raise StepFailed("request_invalid", f"{name}: {error}") from error
            plan = action.plan(PlanState(self._ports.state), wanted)
            if plan is None:
                return Did({"request": request, "opaque": True})
            return Did({"request": request, "summary": plan.summary, "blast": msgspec.to_builtins(plan.blast)})
        return Did(await self._dry_run(context, name, request))

    async def _dry_run(self, context: StepContext, name: str, request: dict[str, Json]) -> dict[str, Json]:
        if not isinstance(self._ports.catalogue.find(name), Change):
            raise StepFailed("operation_unknown", f"{name} changes nothing")
        step = str(context.input["step"])
        outcome = await self._ports.dispatcher.submit(
            Submission(
                operation=name,
                request=request,
                actor=actor_of(context.run),
                reason=reason_of(context.run, step),
                dry_run=True,
            )
        )
        if isinstance(outcome, Refused):
            raise StepFailed(outcome.code, outcome.detail, again=outcome.retryable)
        assert isinstance(outcome, Planned), outcome
        view = outcome.plan
        if context.input.get("inverse") is True and view.inverse is None and view.diff:
            raise StepFailed(
                "undo_missing", f"{name} has no inverse as things stand, and the step is to be undone by it"
            )
        told: dict[str, Json] = msgspec.to_builtins(
            msgspec.structs.replace(view, diff=shortened(view.diff, bytes_max=DIFF_BYTES_MAX))
        )
        kept = ("summary", "subject", "diff", "blast", "gate_class", "decision", "effect", "revision")
        return {"request": request, **{member: told[member] for member in kept}}


def _evaluated(text: str, picture: Picture, seen: dict[str, Json]) -> Evaluated:
    """Raises StepFailed."""
    try:
        return evaluated(text, picture, seen)
    except ExpressionInvalid as error:
        raise StepFailed(error.code, str(error)) from error


def _told(found: Evaluated) -> str:
    came_to = found.error or f"it came to {msgspec.json.encode(found.value).decode()}"
    return f"{found.cel!r} at revision {found.revision}: {came_to}"
