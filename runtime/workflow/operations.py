"""Operations on runs: what people and programs may want done with them. Each leaves an order for the engine."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.fields import END
from runtime.operations.operation import Change, Convergence, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow.limits import INPUT_BYTES_MAX, NAME_CHARS_MAX, SIGNAL_CHARS_MAX
from runtime.workflow.records import ENDED, HELD, RunOrder, RunRecord, RunState, SignalRecord

RunField = Annotated[str, Meta(pattern=rf"^[a-z0-9]{{1,40}}{END}", description="Id of a run.")]
WhyField = Annotated[str, Meta(max_length=500, description="Why, in words.")]
MadeField = Annotated[int, Meta(description="Filled in by the cluster.")]
ByField = Annotated[str, Meta(max_length=200, description="Filled in by the cluster.")]
RESERVED: Final = ("proposal/", "run/")
"""Signals that the cluster itself tells."""
FORWARD: Final = (RunState.RUNNING, RunState.WAITING)


class PauseRequest(Request, frozen=True, kw_only=True):
    run: RunField
    why: WhyField = ""
    signed_by: ByField = ""
    created_unix_ms: MadeField = 0


class ResumeRequest(Request, frozen=True, kw_only=True):
    run: RunField
    why: WhyField = ""
    signed_by: ByField = ""
    created_unix_ms: MadeField = 0


class CancelRequest(Request, frozen=True, kw_only=True):
    run: RunField
    why: WhyField = ""
    leave: Annotated[bool, Meta(description="Leave what was done as it is, undo nothing.")] = False
    signed_by: ByField = ""
    created_unix_ms: MadeField = 0


class RetryStepRequest(Request, frozen=True, kw_only=True):
    run: RunField
    step: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Name of the step.")]
    outcome: Annotated[
        Literal["again", "done", "skipped"],
        Meta(
            description="Try it again (be sure that nobody is still amid it), or say that it took effect, or that it is"
            " passed over."
        ),
    ] = "again"
    why: WhyField = ""
    signed_by: ByField = ""
    created_unix_ms: MadeField = 0


class SignalRequest(Request, frozen=True, kw_only=True):
    run: RunField
    name: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9._/-]{{1,{SIGNAL_CHARS_MAX}}}{END}", description="Of the signal.")]
    payload: Annotated[dict[str, Json], Meta(description="What the run is told with it.")] = msgspec.field(
        default_factory=dict
    )
    signed_by: ByField = ""
    created_unix_ms: MadeField = 0


class RunOrdered(Result, frozen=True, kw_only=True):
    """The engine carries it out; `state` is the run's when it was asked."""

    run: str
    state: str


AnyOrder = PauseRequest | ResumeRequest | CancelRequest | RetryStepRequest


def of_run(request: AnyOrder | SignalRequest) -> str:
    return subjects.of_run(request.run)


def plan_pause(state: PlanState, request: PauseRequest) -> Plan | Refusal:
    order = RunOrder(order="pause", by=request.signed_by, reason=request.why)
    return _ordered(state, request, order, FORWARD, "pauses behind the step under way, with its locks")


def plan_resume(state: PlanState, request: ResumeRequest) -> Plan | Refusal:
    order = RunOrder(order="resume", by=request.signed_by, reason=request.why)
    return _ordered(state, request, order, HELD, "goes on")


def plan_cancel(state: PlanState, request: CancelRequest) -> Plan | Refusal:
    order = RunOrder(order="cancel", by=request.signed_by, reason=request.why, undo=not request.leave)
    told = "ends, and what it did stays" if request.leave else "ends, and what it did is undone"
    return _ordered(state, request, order, (RunState.QUEUED, RunState.BLOCKED, *FORWARD, *HELD), told)


def plan_retry(state: PlanState, request: RetryStepRequest) -> Plan | Refusal:
    order = RunOrder(
        order="retry-step", by=request.signed_by, reason=request.why, step=request.step, outcome=request.outcome
    )
    told = {"again": "is tried again", "done": "counts as done", "skipped": "is passed over"}[request.outcome]
    plan = _ordered(state, request, order, HELD, f"goes on, and its step {request.step} {told}")
    return plan if isinstance(plan, Refusal) else _settled(state, request) or plan


def _settled(state: PlanState, request: RetryStepRequest) -> Refusal | None:
    """Why nothing is to be said of that step. While a run is held its steps change by orders alone, so that the run's
    record, which is compared, stands for them."""
    found = find_run(state, request.run)
    if isinstance(found, Refusal) or found.unsettled is None or request.step in found.unsettled:
        return None
    return Refusal(
        code="run_step_unfit",
        detail=f"in run {request.run}, {request.step} is not in doubt{nearest(request.step, found.unsettled)}",
        remedy=f"Of these it can be said: {', '.join(found.unsettled)}."
        if found.unsettled
        else "Let it go on: aether run resume.",
    )


def plan_signal(state: PlanState, request: SignalRequest) -> Plan | Refusal:
    found = find_run(state, request.run)
    if isinstance(found, Refusal):
        return found
    if found.ended:
        return _not_now(found, "be told anything")
    if request.name.startswith(RESERVED):
        detail = f"{request.name} is told by the cluster itself"
        return Refusal(code="signal_reserved", detail=detail, remedy="Choose a name that begins otherwise.")
    if len(msgspec.json.encode(request.payload)) > INPUT_BYTES_MAX:
        return Refusal(code="request_too_large", detail=f"a signal has {INPUT_BYTES_MAX} bytes of payload at most")
    signal = SignalRecord(
        name=request.name, at_unix_ms=request.created_unix_ms, by=request.signed_by, data=request.payload
    )
    return Plan(
        operation="run.signal",
        subject=of_run(request),
        summary=f"run {request.run} is told {request.name}",
        changes=_put(state, keys.run_signal(request.run, request.name), signal),
        reads=state.reads,
        result={"run": request.run, "state": str(found.state)},
    )


def find_run(state: PlanState, identity: str) -> RunRecord | Refusal:
    raw = state.value(keys.run(identity))
    if raw is not None:
        try:
            return decode(raw, RunRecord)
        except msgspec.DecodeError:
            return Refusal(code="run_unreadable", detail=f"a newer version wrote run {identity}")
    known = [keys.parts(item.key)[0] for item in state.all_items(keys.RUNS)]
    detail = f"there is no run {identity!r}{nearest(identity, known)}"
    return Refusal(code="run_not_found", detail=detail, remedy="List them: aether run list.")


def _ordered(
    state: PlanState,
    request: AnyOrder,
    order: RunOrder,
    states: tuple[RunState, ...],
    told: str,
) -> Plan | Refusal:
    found = find_run(state, request.run)
    if isinstance(found, Refusal):
        return found
    if found.state not in states:
        return _not_now(found, order.order.replace("-step", " a step"))
    return Plan(
        operation=f"run.{order.order}",
        subject=of_run(request),
        summary=f"run {request.run} {told}",
        changes=_put(state, keys.run_order(request.run), order),
        reads=state.reads,
        result={"run": request.run, "state": str(found.state)},
    )


def _put(state: PlanState, key: str, record: RunOrder | SignalRecord) -> tuple[KeyChange, ...]:
    before, after = state.value(key), encode(record)
    return () if before == after else (KeyChange(key=key, before=before, after=after),)


def _not_now(run: RunRecord, what: str) -> Refusal:
    remedy = {
        RunState.COMPENSATING: "Wait: what it did is being undone, and that is not stopped.",
        RunState.PAUSED: f"Let it go on: aether run resume {run.id}.",
    }
    told = "It has ended; start another." if run.ended else f"See where it stands: aether run show {run.id}."
    return Refusal(
        code="run_state_unfit",
        detail=f"run {run.id} is {run.state}, and cannot {what} then",
        remedy=remedy.get(run.state, told),
    )


def taken(state: PlanState, request: AnyOrder) -> Convergence:
    """Whether the engine has carried the order out."""
    waits = state.get(keys.run_order(request.run)) is not None
    return Convergence(done=not waits, waits_for=f"the order for run {request.run}" if waits else "")


def ended(state: PlanState, request: CancelRequest) -> Convergence:
    raw = state.value(keys.run(request.run))
    run = decode(raw, RunRecord) if raw is not None else None
    over = run is None or run.state in ENDED
    return Convergence(done=over, waits_for=f"run {request.run} is {run.state}" if run is not None and not over else "")


_ERRORS: Final = ("run_not_found", "run_unreadable", "run_state_unfit")

OPERATIONS: Final = (
    Change(
        name="run.pause",
        summary="Hold a run behind the step under way; it keeps its locks.",
        request=PauseRequest,
        result=RunOrdered,
        route=Route(method="POST", path="/v1/runs/{run}/pause"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_run,
        plan=plan_pause,
        converged=taken,
        errors=_ERRORS,
        heeds_freeze=False,
    ),
    Change(
        name="run.resume",
        summary="Let a run go on that was paused or waits for a person; it asks again what it was parked for.",
        request=ResumeRequest,
        result=RunOrdered,
        route=Route(method="POST", path="/v1/runs/{run}/resume"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_run,
        plan=plan_resume,
        converged=taken,
        errors=_ERRORS,
    ),
    Change(
        name="run.cancel",
        summary="End a run: the step under way is stopped, and what was done is undone in reverse order.",
        request=CancelRequest,
        result=RunOrdered,
        route=Route(method="POST", path="/v1/runs/{run}/cancel"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_run,
        plan=plan_cancel,
        converged=ended,
        errors=_ERRORS,
        heeds_freeze=False,
    ),
    Change(
        name="run.retry-step",
        summary="Say what becomes of a step that failed, that nobody knows about, or that could not be undone.",
        request=RetryStepRequest,
        result=RunOrdered,
        route=Route(method="POST", path="/v1/runs/{run}/retry-step"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.ONCE,
        subject=of_run,
        plan=plan_retry,
        converged=taken,
        errors=(*_ERRORS, "run_step_unfit"),
    ),
    Change(
        name="run.signal",
        summary="Tell a run something that it may wait for.",
        request=SignalRequest,
        result=RunOrdered,
        route=Route(method="POST", path="/v1/runs/{run}/signals/{name}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_run,
        plan=plan_signal,
        errors=(*_ERRORS, "signal_reserved", "request_too_large"),
    ),
)
