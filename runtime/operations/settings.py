"""Operations on settings, and on the thresholds at which alerts begin."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.config.effective import scope_of
from runtime.config.settings import Setting, SettingInvalid, SettingUnknown, checked, find_setting
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import BOUND_MAX, MetricField, NodeField, SliceField
from runtime.operations.operation import Change, Effect, Request, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.refusals import node_unknown, slice_unknown
from runtime.operations.secrecy import HIDDEN
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import AlertThreshold, decode, encode

LOG_LEVEL: Final = "log_level"

NameField = Annotated[str, Meta(min_length=1, max_length=63, description="Name of a setting.")]
OnlySliceField = Annotated[SliceField, Meta(description="Only for this slice; for all if not given.")]
OnlyNodeField = Annotated[NodeField, Meta(description="Only for this node; for all if not given.")]


class SetRequest(Request, frozen=True, kw_only=True):
    name: NameField
    value: Json
    node: OnlyNodeField = ""
    slice: OnlySliceField = ""


class UnsetRequest(Request, frozen=True, kw_only=True):
    name: NameField
    node: OnlyNodeField = ""
    slice: OnlySliceField = ""


class LevelRequest(Request, frozen=True, kw_only=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="What is logged, and what is graver.")
    ]
    node: OnlyNodeField = ""


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


def of_setting(request: SetRequest | UnsetRequest | LevelRequest) -> str:
    if not isinstance(request, LevelRequest) and request.slice:
        return subjects.of_slice(request.slice)
    return subjects.of_node(request.node) if request.node else subjects.CLUSTER


def of_threshold(request: ThresholdRequest | ClearRequest) -> str:
    return subjects.of_slice(request.slice)


def plan_set(state: PlanState, request: SetRequest) -> Plan | Refusal:
    return _set(state, request, "config.set")


def plan_level(state: PlanState, request: LevelRequest) -> Plan | Refusal:
    return _set(state, SetRequest(name=LOG_LEVEL, value=request.level, node=request.node), "log-level.set")


def _set(state: PlanState, request: SetRequest, operation: str) -> Plan | Refusal:
    try:
        value = checked(request.name, request.value)
        setting = find_setting(request.name)
    except (SettingUnknown, SettingInvalid) as fault:
        return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)
    nowhere = _nowhere(state, setting, request)
    if nowhere is not None:
        return nowhere
    when = "at once" if setting.applies == "live" else "from the next start of each process"
    shown = HIDDEN if setting.secret else msgspec.json.encode(value).decode()
    return Plan(
        operation=operation,
        subject=of_setting(request),
        summary=f"{request.name} becomes {shown} {_where(request)}, {when}",
        changes=_changed(state, request, msgspec.json.encode(value)),
        reads=state.reads,
        inverse=_undo(state, request),
        result={
            "name": request.name,
            "value": HIDDEN if setting.secret else value,
            "node": request.node,
            "slice": request.slice,
            "applies": setting.applies,
        },
    )


def plan_unset(state: PlanState, request: UnsetRequest) -> Plan | Refusal:
    try:
        setting = find_setting(request.name)
    except SettingUnknown as fault:
        return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)
    return Plan(
        operation="config.unset",
        subject=of_setting(request),
        summary=f"{request.name} is not set {_where(request)} any more",
        changes=_changed(state, request, None),
        reads=state.reads,
        inverse=_undo(state, request),
        result={"name": request.name, "node": request.node, "slice": request.slice, "applies": setting.applies},
    )


def _changed(state: PlanState, request: SetRequest | UnsetRequest, after: bytes | None) -> tuple[KeyChange, ...]:
    key = keys.config(scope_of(request.node, request.slice), request.name)
    before = state.value(key)
    return () if before == after else (KeyChange(key=key, before=before, after=after),)


def _undo(state: PlanState, request: SetRequest | UnsetRequest) -> Call:
    before = state.value(keys.config(scope_of(request.node, request.slice), request.name))
    where = {"node": request.node, "slice": request.slice}
    members: dict[str, Json] = {"name": request.name, **{name: value for name, value in where.items() if value}}
    if before is None:
        return Call(operation="config.unset", request=members)
    return Call(operation="config.set", request={**members, "value": msgspec.json.decode(before)})


def _where(request: SetRequest | UnsetRequest) -> str:
    if request.slice:
        return f"for {request.slice}"
    return f"on {request.node}" if request.node else "in the cluster"


def _nowhere(state: PlanState, setting: Setting, request: SetRequest) -> Refusal | None:
    """Why it cannot be set where the request says; None if it can."""
    if request.slice and request.node:
        detail = "a setting is of one slice or of one node, not of a slice on a node"
        return Refusal(code=SettingInvalid.code, detail=detail, remedy="Leave one of the two out.")
    if request.slice and setting.scope != "slice":
        detail = f"{setting.name} is no setting of single slices"
        return Refusal(code=SettingInvalid.code, detail=detail, remedy=SettingInvalid.remedy)
    if request.slice and not state.records.targets_of(request.slice):
        return slice_unknown(state, request.slice)
    if request.node and state.records.node(request.node) is None:
        return node_unknown(state, request.node)
    return None


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
            remedy="List them: aether alert list.",
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
        name="config.set",
        summary="Change a setting of the cluster, of one node or of one slice.",
        request=SetRequest,
        result=results.SettingSet,
        route=Route(method="PUT", path="/v1/config/{name}"),
        role=Role.ADMIN,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=of_setting,
        plan=plan_set,
        errors=("setting_unknown", "setting_invalid", "node_not_found", "slice_not_found"),
    ),
    Change(
        name="config.unset",
        summary="Take a setting back to what the nodes' files or the defaults say.",
        request=UnsetRequest,
        result=results.SettingUnset,
        route=Route(method="DELETE", path="/v1/config/{name}"),
        role=Role.ADMIN,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=of_setting,
        plan=plan_unset,
        errors=("setting_unknown",),
    ),
    Change(
        name="log-level.set",
        summary="Change at once what is logged.",
        request=LevelRequest,
        result=results.SettingSet,
        route=Route(method="PUT", path="/v1/log-level"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_setting,
        plan=plan_level,
        errors=("node_not_found",),
    ),
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
