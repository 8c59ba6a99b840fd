"""Operations on routes: which alerts go to whom, in which groups, how soon and how often."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.alerts.fields import MatchersField, NamedField, matchers_invalid, names_below
from runtime.operations.operation import Change, Effect, Request, Result, Risk
from runtime.operations.operation import Route as HttpRoute
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.telemetry.alerts.grouping import DEFAULT, DEFAULT_ROUTE
from runtime.telemetry.alerts.records import Route

LabelField = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)", max_length=63)]
NameField = Annotated[NamedField, Meta(description=f'Of the route; "{DEFAULT}" is the last one.')]


class RouteRequest(Request, frozen=True, kw_only=True):
    """The whole route: what is not given is as it is by default."""

    name: NameField
    order: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="Routes are tried from the lowest to the highest; 100 if not given, and 10000 of the last."),
    ] = None
    matchers: MatchersField | None = None
    receivers: Annotated[tuple[NamedField, ...], Meta(max_length=20, description="All, if none is given.")] = ()
    group_by: Annotated[
        tuple[LabelField, ...], Meta(max_length=10, description="Labels: alerts that have the same are told together.")
    ] = ("alertname",)
    group_wait_s: Annotated[
        int, Meta(ge=0, le=3_600, description="Seconds that the first word of a group waits for others to join.")
    ] = 10
    group_interval_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Seconds after a word before what changed in the group is told.")
    ] = 60
    repeat_s: Annotated[
        int, Meta(ge=10, le=604_800, description="Seconds after a word before what stays is told again.")
    ] = 14_400
    then: Annotated[Literal["stop", "go-on"], Meta(description="Whether later routes get the alert too.")] = "stop"


class UnsetRequest(Request, frozen=True, kw_only=True):
    name: NameField


class RouteSet(Result, frozen=True, kw_only=True):
    name: str


def plan_set(state: PlanState, request: RouteRequest) -> Plan | Refusal:
    refused = matchers_invalid(request.matchers or ()) or _unknown_receiver(state, request)
    if refused is not None:
        return refused
    key = keys.alert_route(request.name)
    route = _route(request)
    before, after = state.value(key), encode(route)
    return Plan(
        operation="alert.set-route",
        subject=subjects.CLUSTER,
        summary=f"alerts with {', '.join(route.matchers) or 'any labels'} go to"
        f" {', '.join(request.receivers) or 'every receiver'}",
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=_before(request.name, before),
        result={"name": request.name},
    )


def _route(request: RouteRequest) -> Route:
    by_default = DEFAULT_ROUTE if request.name == DEFAULT else Route()
    members = {name: value for name, value in msgspec.structs.asdict(request).items() if value is not None}
    members.pop("name")
    return msgspec.structs.replace(by_default, goes_on=members.pop("then") == "go-on", **members)


def _unknown_receiver(state: PlanState, request: RouteRequest) -> Refusal | None:
    for name in request.receivers:
        if state.value(keys.alert_receiver(name)) is None:
            near = nearest(name, names_below(state, keys.ALERT_RECEIVERS))
            return Refusal(
                code="receiver_not_found",
                detail=f"there is no receiver {name!r}{near}",
                remedy="Set it first: aether alert set-receiver.",
            )
    return None


def plan_unset(state: PlanState, request: UnsetRequest) -> Plan | Refusal:
    key = keys.alert_route(request.name)
    before = state.value(key)
    if before is None:
        near = nearest(request.name, names_below(state, keys.ALERT_ROUTES))
        return Refusal(
            code="route_not_set",
            detail=f"no route {request.name!r} is set{near}",
            remedy="List them: aether alert routes.",
        )
    return Plan(
        operation="alert.unset-route",
        subject=subjects.CLUSTER,
        summary=f"route {request.name} of alerts is taken away",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=_before(request.name, before),
        result={"name": request.name},
    )


def _before(name: str, raw: bytes | None) -> Call:
    if raw is None:
        return Call(operation="alert.unset-route", request={"name": name})
    members: dict[str, Json] = msgspec.to_builtins(decode(raw, Route))
    members["then"] = "go-on" if members.pop("goes_on") else "stop"
    return Call(operation="alert.set-route", request={"name": name, **members})


OPERATIONS: Final = (
    Change(
        name="alert.set-route",
        summary="Say which alerts go to which receivers, in which groups, how soon and how often.",
        request=RouteRequest,
        result=RouteSet,
        route=HttpRoute(method="PUT", path="/v1/alert-routes/{name}"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_set,
        errors=("matcher_invalid", "receiver_not_found"),
    ),
    Change(
        name="alert.unset-route",
        summary="Take a route of alerts away; the last one is as it was.",
        request=UnsetRequest,
        result=RouteSet,
        route=HttpRoute(method="DELETE", path="/v1/alert-routes/{name}"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_unset,
        errors=("route_not_set",),
    ),
)
