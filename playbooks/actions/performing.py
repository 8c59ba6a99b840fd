"""Steps that do something: an operation through the gate, a question, or an action in Python."""

from __future__ import annotations

import msgspec

from controllers.gate.uncut import Undo, unpacked
from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, ActionShelf, AnyAction
from playbooks.actions.standing import actor_of, filled_in, reason_of
from playbooks.actions.submitting import ENDED, Submitter, applied_result
from playbooks.ports import PlaybookPorts
from runtime.errors import RuntimeFault
from runtime.operations import subjects
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.dispatch import Applied, Proposed, Refused, Submission
from runtime.operations.operation import AnyOperation, Change
from runtime.operations.plan import Call, Json
from runtime.state import keys
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Did, Done, NotDone, StepContext, Unknown, Waits
from runtime.workflow.records import RunState


class PerformAction:
    """Implements Action. An operation has the step's key as its idempotency key, so that it takes effect once,
    whoever submits it how often; for an action in Python its own `probe` answers."""

    def __init__(self, ports: PlaybookPorts, actions: ActionShelf) -> None:
        self._ports = ports
        self._actions = actions
        self._submitter = Submitter(ports)

    async def run(self, context: StepContext) -> Did | Waits:
        name = str(context.input["uses"])
        action = self._actions.find(name)
        request = self._request(context)
        if action is not None:
            out = await action.run(self._call(context), _converted(action, request))
            return out if isinstance(out, Waits) else Did(_as_recorded(out))
        operation = self._operation(name)
        if not isinstance(operation, Change):
            return Did({"result": await self._asked(name, request, context)})
        return await self._submitter.submit(self._submission(name, request, context), context)

    async def probe(self, context: StepContext) -> Done | NotDone | Unknown:
        """Of an operation, what the gate answered under the step's key."""
        name = str(context.input["uses"])
        action = self._actions.find(name)
        if action is None:
            return await self._answered(context, self._submission(name, self._request(context), context))
        return await action.probe(self._call(context), _converted(action, self._request(context)))

    async def _answered(self, context: StepContext, submission: Submission) -> Done | NotDone | Unknown:
        """One that waits for people may be asked for again, and gets the same proposal; going back, it must be gone."""
        found = await self._ports.recalls.answered(submission)
        if isinstance(found, Applied):
            return Done(applied_result(found))
        if found is None:
            return NotDone()
        proposal = self._submitter.proposal(found.proposal)
        if proposal is not None and proposal.waits and context.run.state == RunState.COMPENSATING:
            return Unknown(f"proposal {found.proposal} waits for people")
        return NotDone()  # applied, it would have made the answer an application

    async def abandon(self, context: StepContext) -> None:
        """What waits for people must not be made once the run goes back."""
        name = str(context.input["uses"])
        if self._actions.find(name) is not None or not isinstance(self._operation(name), Change):
            return
        found = await self._ports.recalls.answered(self._submission(name, self._request(context), context))
        if isinstance(found, Proposed):
            await self._ports.recalls.withdraw(found.proposal, actor_of(context.run), "its run goes back")

    async def undo(self, context: StepContext, result: dict[str, Json]) -> None:
        """What the step names, or the inverse of what was applied. One that waits for people fails until it is made."""
        wanted = context.input.get("undo")
        action = self._actions.find(str(context.input["uses"]))
        if wanted == "inverse" and action is not None:
            done = msgspec.convert(result, action.output)
            await action.undo(self._call(context), _converted(action, self._request(context)), done)
            return
        undo = self._undo_of(context, result)
        if undo is None:
            return
        submission = self._submission(undo.inverse.operation, undo.inverse.request, context, key=f"{context.key}/undo")
        own = str(result.get("audit") or "") if wanted == "inverse" else ""
        submission = msgspec.structs.replace(submission, propose=False, undoes=undo.proposal, takes_back=own)
        outcome = await self._ports.dispatcher.submit(submission)
        if isinstance(outcome, Refused):
            raise StepFailed(outcome.code, outcome.detail, again=outcome.retryable)
        if isinstance(outcome, Proposed):
            proposal = self._submitter.proposal(outcome.proposal)
            ended = proposal is not None and proposal.state in ENDED
            raise StepFailed("undo_waits", f"its undo waits for people: {outcome.proposal}", again=not ended)

    def _undo_of(self, context: StepContext, result: dict[str, Json]) -> Undo | None:
        """None where nothing was changed. Raises StepFailed."""
        wanted = context.input.get("undo")
        if isinstance(wanted, dict):
            given = msgspec.convert(wanted.get("with") or {}, dict[str, Json])
            request = filled_in(self._ports, context.run, given)
            return Undo(inverse=Call(operation=str(wanted["uses"]), request=request), proposal="")
        kept = self._ports.state.get(keys.undo(str(result.get("audit"))))
        undo = unpacked(kept.value, Undo) if kept is not None else None  # whole, where the record's own would be cut
        if undo is not None:
            return undo
        inverse = result.get("inverse")
        if inverse is None:
            raise StepFailed("undo_missing", f"nothing is kept that would undo {context.input['uses']}")
        return Undo(inverse=msgspec.convert(inverse, Call), proposal=str(result.get("proposal") or ""))

    def _request(self, context: StepContext) -> dict[str, Json]:
        """As its plan fixed it; of what only reads, as it is meant now."""
        fixed = context.input.get("request")
        if fixed is not None:
            return msgspec.convert(fixed, dict[str, Json])
        return filled_in(self._ports, context.run, msgspec.convert(context.input["with"], dict[str, Json]))

    def _submission(self, name: str, request: dict[str, Json], context: StepContext, *, key: str = "") -> Submission:
        return Submission(
            operation=name,
            request=request,
            actor=actor_of(context.run),
            reason=reason_of(context.run, str(context.input["step"])),
            evidence=(subjects.of_run(context.run.id),),
            idempotency_key=key or context.key,
            propose=context.input.get("approval") == "always",
        )

    async def _asked(self, name: str, request: dict[str, Json], context: StepContext) -> dict[str, Json]:
        try:
            return await self._ports.asks.ask(name, request, actor_of(context.run))
        except RuntimeFault as fault:
            raise StepFailed(fault.code, str(fault), again=fault.retryable) from fault

    def _operation(self, name: str) -> AnyOperation:
        try:
            return self._ports.catalogue.find(name)
        except OperationUnknown as error:
            raise StepFailed(error.code, str(error)) from error

    def _call(self, context: StepContext) -> ActionCall:
        return ActionCall(ports=self._ports, actor=actor_of(context.run), context=context)


def _converted(action: AnyAction, request: dict[str, Json]) -> ActionInput:
    """Raises StepFailed."""
    try:
        return msgspec.convert(request, action.input)
    except msgspec.ValidationError as error:
        raise StepFailed("request_invalid", f"{action.name}: {error}") from error


def _as_recorded(out: ActionOutput) -> dict[str, Json]:
    """As it is read back: lists for tuples, which expressions know nothing of."""
    return msgspec.json.decode(msgspec.json.encode(out), type=dict[str, Json])
