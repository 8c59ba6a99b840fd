"""Operations on settings."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.config.effective import scope_of
from runtime.config.settings import Setting, SettingInvalid, SettingUnknown, checked, find_setting
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import NodeField, SliceField
from runtime.operations.operation import Change, Effect, Request, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.refusals import node_unknown, slice_unknown
from runtime.operations.secrecy import HIDDEN
from runtime.operations.state import PlanState
from runtime.state import keys

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


class LevelUnsetRequest(Request, frozen=True, kw_only=True):
    node: OnlyNodeField = ""


def of_setting(request: SetRequest | UnsetRequest | LevelRequest | LevelUnsetRequest) -> str:
    if not isinstance(request, LevelRequest | LevelUnsetRequest) and request.slice:
        return subjects.of_slice(request.slice)
    return subjects.of_node(request.node) if request.node else subjects.CLUSTER


def plan_set(state: PlanState, request: SetRequest) -> Plan | Refusal:
    return _set(state, request, "config.set")


def plan_level(state: PlanState, request: LevelRequest) -> Plan | Refusal:
    plan = _set(state, SetRequest(name=LOG_LEVEL, value=request.level, node=request.node), "log-level.set")
    return _undone_by_level(plan, request.node)


def plan_level_unset(state: PlanState, request: LevelUnsetRequest) -> Plan | Refusal:
    plan = plan_unset(state, UnsetRequest(name=LOG_LEVEL, node=request.node))
    if isinstance(plan, Refusal):
        return plan
    return _undone_by_level(msgspec.structs.replace(plan, operation="log-level.unset"), request.node)


def _undone_by_level(plan: Plan | Refusal, node: str) -> Plan | Refusal:
    """By what the same people may do: other settings are for admins."""
    if isinstance(plan, Refusal) or plan.inverse is None:
        return plan
    request: dict[str, Json] = {"node": node} if node else {}
    name = "log-level.unset"
    if "value" in plan.inverse.request:
        name, request = "log-level.set", {"level": plan.inverse.request["value"], **request}
    return msgspec.structs.replace(plan, inverse=Call(operation=name, request=request))


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
        name="log-level.unset",
        summary="Log again what the nodes' files or the defaults say.",
        request=LevelUnsetRequest,
        result=results.SettingUnset,
        route=Route(method="DELETE", path="/v1/log-level"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_setting,
        plan=plan_level_unset,
    ),
)
