"""Operations on how slices are scaled: configure it, and pin a slice to a number for a while."""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.scaling.config import (
    CLUSTER,
    SLICE_SCOPE,
    ConfigRecord,
    ScalingConfig,
    checked,
    made,
    may_oscillate,
    members_of,
    pin_of,
    scope_of,
)
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.model import Pin
from runtime.operations import slices, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import InstancesField, SliceField, VersionField
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.refusals import slice_unknown
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import encode

MINUTE_MS: Final = 60_000
PIN_MIN_MAX: Final = 7 * 24 * 60

OnlySlice = Annotated[SliceField, Meta(description="Only of this slice; of all if not given.")]
WhyField = Annotated[str, Meta(max_length=500, description="Why, in words.")]
MembersField = Annotated[
    dict[str, Json], Meta(max_length=30, description="Values by member, as docs/scaling.md lists them.")
]
NamesField = Annotated[
    tuple[str, ...], Meta(max_length=30, description="Members that go back to what holds without them.")
]


class ConfigureRequest(Request, frozen=True, kw_only=True):
    slice: OnlySlice = ""
    set: MembersField = msgspec.field(default_factory=dict)
    unset: NamesField = ()


class PinRequest(Request, frozen=True, kw_only=True):
    slice: SliceField
    instances: InstancesField
    version: VersionField = ""
    minutes: Annotated[int, Meta(ge=1, le=PIN_MIN_MAX, description="For how long.")] = 60
    why: WhyField = ""
    by: Annotated[str, Meta(max_length=100, description="Who wants it, as it is shown.")] = ""
    created_unix_ms: Annotated[int, Meta(description="Filled in by the cluster.")] = 0


class UnpinRequest(Request, frozen=True, kw_only=True):
    slice: SliceField
    version: VersionField = ""
    instances: Annotated[InstancesField | None, Meta(description="How many then; as many as now if not given.")] = None


class ScalingConfigured(Result, frozen=True, kw_only=True):
    slice: Annotated[str, Meta(description="Empty: of all slices.")]
    members: Annotated[dict[str, Json], Meta(description="All that is set there from now on.")]


class SlicePinned(Result, frozen=True, kw_only=True):
    slice: str
    version: str
    before: Annotated[int, Meta(description="Instances wanted until now.")]
    wanted: int
    until_unix_ms: int


class SliceUnpinned(Result, frozen=True, kw_only=True):
    slice: str


def plan_configure(state: PlanState, request: ConfigureRequest) -> Plan | Refusal:
    if request.slice and not state.records.targets_of(request.slice):
        return slice_unknown(state, request.slice)
    unknown = next((each for each in (*request.set, *request.unset) if each not in ScalingConfig.__struct_fields__), "")
    if unknown:
        known = nearest(unknown, ScalingConfig.__struct_fields__)
        return _invalid(f"scaling has no member {unknown[:60]!r}{known}")
    scope = scope_of(request.slice)
    before = members_of(state, scope)
    cluster = members_of(state, CLUSTER) if request.slice else {}
    try:
        given = msgspec.convert({**request.set}, ScalingConfig, strict=False)
        kept = {name: value for name, value in before.items() if name not in request.unset}
        after = {**kept, **{name: getattr(given, name) for name in request.set}}
        checked({**cluster, **after})
        if not request.slice:
            _check_slices(state, after)
    except msgspec.ValidationError as error:
        return _invalid(str(error))
    except ScalingPolicyInvalid as fault:
        return _invalid(str(fault))
    return _configured(state, request, scope, before, after)


def _check_slices(state: PlanState, cluster: dict[str, Json]) -> None:
    """What slices say themselves may have been sound only with what the cluster said. Raises ScalingPolicyInvalid."""
    for item in state.all_items(f"{keys.SCALING_CONFIGS}{SLICE_SCOPE}"):
        name = item.key.removeprefix(f"{keys.SCALING_CONFIGS}{SLICE_SCOPE}")
        members = {**cluster, **members_of(state, scope_of(name))}
        if may_oscillate(made(members)):
            try:
                checked(members)
            except ScalingPolicyInvalid as fault:
                raise ScalingPolicyInvalid(f"with what slice {name} says itself {fault}") from fault


def _invalid(detail: str) -> Refusal:
    return Refusal(code="scaling_policy_invalid", detail=detail, remedy=ScalingPolicyInvalid.remedy)


def _configured(
    state: PlanState, request: ConfigureRequest, scope: str, before: dict[str, Json], after: dict[str, Json]
) -> Plan:
    key = keys.scaling_config(scope)
    raw = state.value(key)
    new = encode(ConfigRecord(members=after)) if after else None
    words = [f"{name} becomes {after[name]}" for name in sorted(request.set)]
    words += [f"{name} goes back" for name in sorted(request.unset) if name in before]
    back: dict[str, Json] = {"slice": request.slice} if request.slice else {}
    back["set"] = {name: before[name] for name in (*request.set, *request.unset) if name in before}
    back["unset"] = [name for name in request.set if name not in before]
    return Plan(
        operation="controller.configure",
        subject=_scope_subject(request),
        summary=f"scaling of {request.slice or 'all slices'}: {', '.join(words) or 'nothing changes'}",
        changes=() if before == after else (KeyChange(key=key, before=raw, after=new),),
        reads=state.reads,
        inverse=Call(operation="controller.configure", request=back),
        result={"slice": request.slice, "members": after},
    )


def _scope_subject(request: ConfigureRequest) -> str:
    return subjects.of_slice(request.slice) if request.slice else subjects.CLUSTER


def plan_pin(state: PlanState, request: PinRequest) -> Plan | Refusal:
    """The slice goes there at once, and its scaling leaves it there until then."""
    scaled = slices.plan_scale(
        state, slices.ScaleRequest(slice=request.slice, version=request.version, instances=request.instances)
    )
    if isinstance(scaled, Refusal):
        return scaled
    key = keys.scaling_pin(request.slice)
    until = request.created_unix_ms + request.minutes * MINUTE_MS
    pin = Pin(instances=request.instances, until_unix_ms=until, by=request.by, why=request.why)
    change = KeyChange(key=key, before=state.value(key), after=msgspec.json.encode(pin))
    return msgspec.structs.replace(
        scaled,
        operation="controller.pin",
        summary=f"{scaled.summary}, and stays there for {request.minutes} minutes",
        changes=(*scaled.changes, change),
        reads=state.reads,
        inverse=_before_pin(state, request, scaled),
        result={**scaled.result, "until_unix_ms": until},
    )


def _before_pin(state: PlanState, request: PinRequest, scaled: Plan) -> Call:
    """As many instances as before; held by the pin before for as long as that would have lasted when this was planned,
    or scaled again where there was none any more."""
    assert scaled.inverse is not None, "a number of instances can always be set back"
    pin = pin_of(state, request.slice, request.created_unix_ms)
    if pin is None:
        return Call(operation="controller.unpin", request=scaled.inverse.request)
    left_min = math.ceil((pin.until_unix_ms - request.created_unix_ms) / MINUTE_MS)
    held: dict[str, Json] = {"minutes": min(left_min, PIN_MIN_MAX), "why": pin.why, "by": pin.by}
    return Call(operation="controller.pin", request={**scaled.inverse.request, **held})


def plan_unpin(state: PlanState, request: UnpinRequest) -> Plan | Refusal:
    key = keys.scaling_pin(request.slice)
    before = state.value(key)
    if before is None:
        return Refusal(
            code="pin_not_found",
            detail=f"slice {request.slice} is not pinned",
            remedy="`aether controller status` tells which are.",
        )
    gone = KeyChange(key=key, before=before, after=None)
    if request.instances is not None:
        return _unpinned_to(state, request, request.instances, gone)
    return Plan(
        operation="controller.unpin",
        subject=subjects.of_slice(request.slice),
        summary=f"{request.slice} is scaled again",
        changes=(gone,),
        reads=state.reads,
        result={"slice": request.slice},
    )


def _unpinned_to(state: PlanState, request: UnpinRequest, instances: int, gone: KeyChange) -> Plan | Refusal:
    """Goes past the same bounds as any scaling."""
    scaled = slices.plan_scale(
        state, slices.ScaleRequest(slice=request.slice, version=request.version, instances=instances)
    )
    if isinstance(scaled, Refusal):
        return scaled
    return msgspec.structs.replace(
        scaled,
        operation="controller.unpin",
        summary=f"{scaled.summary}, and is scaled again",
        changes=(*scaled.changes, gone),
        reads=state.reads,
        inverse=None,
        result={"slice": request.slice},
    )


def _pinned_scale(request: PinRequest) -> slices.ScaleRequest:
    return slices.ScaleRequest(slice=request.slice, version=request.version, instances=request.instances)


OPERATIONS: Final = (
    Change(
        name="controller.configure",
        summary="Change how slices are scaled; what would oscillate is refused.",
        request=ConfigureRequest,
        result=ScalingConfigured,
        route=Route(method="PUT", path="/v1/controller/config"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=_scope_subject,
        plan=plan_configure,
        errors=("slice_not_found", "scaling_policy_invalid"),
    ),
    Change(
        name="controller.pin",
        summary="Set a slice to so many instances and keep its scaling from changing that for a while.",
        request=PinRequest,
        result=SlicePinned,
        route=Route(method="PUT", path="/v1/slices/{slice}/pin"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda request: subjects.of_slice(request.slice),
        plan=plan_pin,
        converged=lambda state, request: slices.scaled(state, _pinned_scale(request)),
        errors=("slice_not_found", "version_ambiguous", "out_of_bounds"),
    ),
    Change(
        name="controller.unpin",
        summary="Let a slice be scaled again.",
        request=UnpinRequest,
        result=SliceUnpinned,
        route=Route(method="DELETE", path="/v1/slices/{slice}/pin"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: subjects.of_slice(request.slice),
        plan=plan_unpin,
        errors=("pin_not_found", "slice_not_found", "version_ambiguous", "out_of_bounds"),
    ),
)
