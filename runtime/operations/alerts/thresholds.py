"""Operations on thresholds: the quick way to one rule of one slice."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import BOUND_MAX, MetricField, SliceField
from runtime.operations.operation import Change, Effect, Request, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.refusals import slice_unknown
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import AlertThreshold, decode, encode


class ThresholdRequest(Request, frozen=True, kw_only=True):
    slice: SliceField
    metric: MetricField
    bound: Annotated[float, Meta(ge=0, le=BOUND_MAX, description="An alert begins above it; in the metric's own unit.")]
    for_s: Annotated[
        int,
        Meta(ge=1, le=3_600, description="Seconds it must be above before an alert begins, and back before it ends."),
    ] = 10


class ClearRequest(Request, frozen=True, kw_only=True):
    slice: SliceField
    metric: MetricField


def of_threshold(request: ThresholdRequest | ClearRequest) -> str:
    return subjects.of_slice(request.slice)


def plan_threshold(state: PlanState, request: ThresholdRequest) -> Plan | Refusal:
    if not state.records.targets_of(request.slice):
        return slice_unknown(state, request.slice)
    key = keys.alert_threshold(request.slice, request.metric)
    before, after = state.value(key), encode(AlertThreshold(bound=request.bound, for_s=request.for_s))
    return Plan(
        operation="alert.set-threshold",
        subject=of_threshold(request),
        summary=f"an alert begins when {request.metric} of {request.slice} is above {request.bound:g}"
        f" for {request.for_s} s",
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=_threshold_before(request, before),
        result={"slice": request.slice, "metric": request.metric, "bound": request.bound, "for_s": request.for_s},
    )


def plan_clear(state: PlanState, request: ClearRequest) -> Plan | Refusal:
    key = keys.alert_threshold(request.slice, request.metric)
    before = state.value(key)
    if before is None:
        return Refusal(
            code="threshold_not_found",
            detail=f"{request.metric} of {request.slice} has no threshold",
            remedy="List them: aether alert rules.",
        )
    return Plan(
        operation="alert.clear-threshold",
        subject=of_threshold(request),
        summary=f"{request.metric} of {request.slice} raises no alert any more",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=_threshold_before(request, before),
        result={"slice": request.slice, "metric": request.metric},
    )


def _threshold_before(request: ThresholdRequest | ClearRequest, before: bytes | None) -> Call:
    members: dict[str, Json] = {"slice": request.slice, "metric": request.metric}
    if before is None:
        return Call(operation="alert.clear-threshold", request=members)
    was = decode(before, AlertThreshold)
    return Call(operation="alert.set-threshold", request={**members, "bound": was.bound, "for_s": was.for_s})


OPERATIONS: Final = (
    Change(
        name="alert.set-threshold",
        summary="Say at which value of a slice's metric an alert begins.",
        request=ThresholdRequest,
        result=results.ThresholdSet,
        route=Route(method="PUT", path="/v1/alerts/{slice}/{metric}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_threshold,
        plan=plan_threshold,
        errors=("slice_not_found",),
    ),
    Change(
        name="alert.clear-threshold",
        summary="Raise no alert for a slice's metric any more.",
        request=ClearRequest,
        result=results.ThresholdCleared,
        route=Route(method="DELETE", path="/v1/alerts/{slice}/{metric}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_threshold,
        plan=plan_clear,
        errors=("threshold_not_found",),
    ),
)
