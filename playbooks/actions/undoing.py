"""To go back to before the last change of a subject, by the inverse that was kept with it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.gate.uncut import Undo, unpacked
from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from playbooks.actions.standing import reason_of
from playbooks.actions.submitting import Submitter
from playbooks.document.duration import DurationText, milliseconds
from runtime.errors import RuntimeFault
from runtime.operations.dispatch import Submission
from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Waits

LOOKED_AT: Final = 20  # records of the subject, newest first


class UndoLastIn(ActionInput, frozen=True, kw_only=True):
    subject: Annotated[str, Meta(min_length=1, max_length=200, description='As the audit names it: "blueprint:shop".')]
    operation: Annotated[str, Meta(max_length=80, description="Only a change by this operation.")] = ""
    within: Annotated[DurationText, Meta(description="An older change is left alone.")] = "7d"


class UndoLastOut(ActionOutput, frozen=True, kw_only=True):
    undone: Annotated[str, Meta(description="The audit record of the change that was taken back.")]
    summary: str
    audit: str


class UndoLast(PlaybookAction[UndoLastIn, UndoLastOut]):
    """Its key is the step's: however often it runs, the same inverse takes effect once."""

    name = "change.undo-last"
    summary = "Go back to before a subject's last change."
    effect = Effect.IDEMPOTENT
    input = UndoLastIn
    output = UndoLastOut

    async def run(self, call: ActionCall, wanted: UndoLastIn) -> UndoLastOut | Waits:
        reason = reason_of(call.context.run, call.context.step)
        record = await self._last(call, wanted, reason)
        kept = call.ports.state.get(keys.undo(record.id))
        undo = unpacked(kept.value, Undo) if kept is not None else None
        if undo is None:
            detail = f"nothing is kept that would undo {record.operation} ({record.id})"
            raise StepFailed("undo_missing", detail, again=True)  # the record may be seen a moment before its undo
        submission = Submission(
            operation=undo.inverse.operation,
            request=undo.inverse.request,
            actor=call.actor,
            reason=reason,
            idempotency_key=call.context.key,
            undoes=undo.proposal,
        )
        done = await Submitter(call.ports).submit(submission, call.context)
        if isinstance(done, Waits):
            return done
        return UndoLastOut(
            undone=record.id, summary=str(done.result.get("summary")), audit=str(done.result.get("audit"))
        )

    async def _last(self, call: ActionCall, wanted: UndoLastIn, own: str) -> _Record:
        """The newest but for what this step itself did in an earlier attempt."""
        asked: dict[str, Json] = {"subject": wanted.subject, "kind": "applied", "limit": LOOKED_AT}
        if wanted.operation:
            asked["operation"] = wanted.operation
        try:
            found = await call.ports.asks.ask("audit.list", asked, call.actor)
        except RuntimeFault as fault:
            raise StepFailed(fault.code, str(fault), again=fault.retryable) from fault
        records = [each.record for each in msgspec.convert(found, _Page).items]
        last = next((each for each in records if each.reason != own), None)
        since_ms = call.context.began_unix_ms - milliseconds(wanted.within)
        if last is None or last.at_unix_ms < since_ms:
            raise StepFailed("nothing_to_undo", f"{wanted.subject} was not changed within {wanted.within}")
        return last


class _Record(msgspec.Struct, frozen=True):
    id: str
    at_unix_ms: int
    operation: str = ""
    reason: str = ""


class _Row(msgspec.Struct, frozen=True):
    record: _Record


class _Page(msgspec.Struct, frozen=True):
    items: tuple[_Row, ...]
