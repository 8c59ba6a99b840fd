"""Operations on slices: how many instances, their bounds, their share of calls, and starting anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.names import SliceName, Version
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import InstancesField, SliceField, VersionField
from runtime.operations.operation import Change, Convergence, Effect, Request, Result, Risk, Route, always_converged
from runtime.operations.plan import BlastRadius, Call, KeyChange, Plan, Refusal
from runtime.operations.refusals import slice_unknown, version_ambiguous
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import BlueprintSlice, SliceTarget, encode

START_MS: Final = 1_000  # what one more instance takes, with its dependencies there; a guess for people
STOP_MS: Final = 2_000


class SliceRequest(Request, frozen=True, kw_only=True):
    slice: SliceField
    version: VersionField = ""


class ScaleRequest(SliceRequest, frozen=True, kw_only=True):
    instances: InstancesField


class RestartRequest(SliceRequest, frozen=True, kw_only=True):
    pass


class BoundsRequest(SliceRequest, frozen=True, kw_only=True):
    min: InstancesField
    max: InstancesField


class WeightsRequest(Request, frozen=True, kw_only=True):
    slice: SliceField
    weights: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=10_000)]],
        Meta(min_length=1, max_length=20, description="Share of calls by version, as parts of their sum."),
    ]


def subject(request: SliceRequest | WeightsRequest) -> str:
    return subjects.of_slice(request.slice)


def target_of(state: PlanState, request: SliceRequest) -> SliceTarget | Refusal:
    """The one deployed version, or the named one."""
    found = state.records.targets_of(request.slice)
    if not found:
        return slice_unknown(state, request.slice)
    if request.version:
        named = [each for each in found if each.settings.version == request.version]
        return named[0] if named else slice_unknown(state, request.slice, request.version)
    return found[0] if len(found) == 1 else version_ambiguous(request.slice, found)


def replaced(before: SliceTarget, after: SliceTarget) -> tuple[KeyChange, ...]:
    """No change at all where nothing differs."""
    if before == after:
        return ()
    key = keys.target(before.settings.slice, before.settings.version)
    return (KeyChange(key=key, before=encode(before), after=encode(after)),)


def plan_scale(state: PlanState, request: ScaleRequest) -> Plan | Refusal:
    target = target_of(state, request)
    if isinstance(target, Refusal):
        return target
    settings, wanted = target.settings, request.instances
    if not settings.min <= wanted <= settings.max:
        return Refusal(
            code="out_of_bounds",
            detail=f"{wanted} is outside {settings.slice}'s bounds {settings.min} to {settings.max}",
            remedy="Stay within the bounds, or change them: slice.set-bounds.",
        )
    fewer = max(0, target.wanted - wanted)
    after = msgspec.structs.replace(target, wanted=wanted)
    return Plan(
        operation="slice.scale",
        subject=subject(request),
        summary=f"{_named(settings)}: {target.wanted} -> {wanted} instances",
        changes=replaced(target, after),
        reads=state.reads,
        blast=_blast(state, settings, gone=fewer, instances=abs(wanted - target.wanted), of=target.wanted),
        inverse=Call(
            operation="slice.scale",
            request={"slice": settings.slice, "version": settings.version, "instances": target.wanted},
        ),
        estimated_ms=START_MS if wanted > target.wanted else STOP_MS if fewer else 0,
        direction="out" if wanted > target.wanted else "in" if fewer else "none",
        stops=min(fewer, _stopping(state, target, wanted)) if fewer else None,
        step_share=abs(wanted - target.wanted) / max(1, target.wanted),
        result={
            "slice": settings.slice,
            "version": settings.version,
            "before": target.wanted,
            "wanted": wanted,
        },
    )


def plan_restart(state: PlanState, request: RestartRequest) -> Plan | Refusal:
    target = target_of(state, request)
    if isinstance(target, Refusal):
        return target
    settings = target.settings
    after = msgspec.structs.replace(target, restarts=target.restarts + 1)
    return Plan(
        operation="slice.restart",
        subject=subject(request),
        summary=f"{_named(settings)}: all {target.wanted} instances start anew, as many at a time as can be spared",
        changes=replaced(target, after),
        reads=state.reads,
        blast=_blast(state, settings, gone=min(1, target.wanted), instances=target.wanted, of=target.wanted),
        estimated_ms=target.wanted * (START_MS + STOP_MS),
        result={"slice": settings.slice, "version": settings.version, "restarts": after.restarts},
    )


def plan_bounds(state: PlanState, request: BoundsRequest) -> Plan | Refusal:
    """A wanted number outside the new bounds moves to the nearest one inside."""
    target = target_of(state, request)
    if isinstance(target, Refusal):
        return target
    if request.min > request.max:
        return Refusal(code="out_of_bounds", detail=f"min {request.min} is above max {request.max}")
    old = target.settings
    wanted = min(max(target.wanted, request.min), request.max)
    settings = msgspec.structs.replace(
        old, min=request.min, max=request.max, instances=min(max(old.instances, request.min), request.max)
    )
    return Plan(
        operation="slice.set-bounds",
        subject=subject(request),
        summary=f"{_named(old)}: bounds {old.min} to {old.max} -> {request.min} to {request.max}",
        changes=replaced(target, msgspec.structs.replace(target, settings=settings, wanted=wanted)),
        reads=state.reads,
        blast=_blast(
            state,
            old,
            gone=max(0, target.wanted - wanted),
            instances=abs(target.wanted - wanted),
            of=target.wanted,
        ),
        inverse=Call(
            operation="slice.set-bounds",
            request={"slice": old.slice, "version": old.version, "min": old.min, "max": old.max},
        ),
        direction="out" if wanted > target.wanted else "in" if wanted < target.wanted else "none",
        step_share=abs(wanted - target.wanted) / max(1, target.wanted),
        result={"slice": old.slice, "version": old.version, "min": request.min, "max": request.max, "wanted": wanted},
    )


def plan_weights(state: PlanState, request: WeightsRequest) -> Plan | Refusal:
    found = {each.settings.version: each for each in state.records.targets_of(request.slice)}
    for version in request.weights:
        if version not in found:
            return slice_unknown(state, request.slice, version)
    if not sum(request.weights.get(version, each.settings.weight) for version, each in found.items()):
        return Refusal(code="out_of_bounds", detail=f"no version of {request.slice} would get any call")
    changes: list[KeyChange] = []
    before: dict[str, int] = {}
    for version, weight in sorted(request.weights.items()):
        target = found[Version(version)]
        before[version] = target.settings.weight
        settings = msgspec.structs.replace(target.settings, weight=weight)
        changes += replaced(target, msgspec.structs.replace(target, settings=settings))
    shares = ", ".join(
        f"{version} {before[version]} -> {weight}" for version, weight in sorted(request.weights.items())
    )
    return Plan(
        operation="slice.set-routing-weights",
        subject=subject(request),
        summary=f"{request.slice}: weights {shares}",
        changes=tuple(changes),
        reads=state.reads,
        blast=_unrouted(state, request, {version: each.settings.weight for version, each in found.items()}),
        inverse=Call(operation="slice.set-routing-weights", request={"slice": request.slice, "weights": {**before}}),
        result={"slice": request.slice, "weights": {**request.weights}},
    )


def scaled(state: PlanState, request: ScaleRequest) -> Convergence:
    """Of what is wanted now: somebody else, or scaling itself, may want another number since."""
    target = target_of(state, request)
    if isinstance(target, Refusal):
        return Convergence(done=True)
    version, wanted = target.settings.version, target.wanted
    serving = sum(each.version == version for each in state.records.endpoints_of(request.slice))
    return Convergence(done=serving == wanted, waits_for=f"{serving} of {wanted} instances of {request.slice} serve")


def restarted(state: PlanState, request: RestartRequest) -> Convergence:
    target = target_of(state, request)
    if isinstance(target, Refusal):
        return Convergence(done=True)
    mine = [each for each in state.records.placed() if each.assignment.slice == request.slice]
    ready = sum(each.settled and each.assignment.restarts == target.restarts for each in mine)
    done = ready == target.wanted
    return Convergence(done=done, waits_for="" if done else f"{ready} of {target.wanted} instances started anew")


def _named(settings: BlueprintSlice) -> str:
    return f"{settings.slice} {settings.version}"


def _blast(state: PlanState, settings: BlueprintSlice, *, gone: int, instances: int, of: int) -> BlastRadius:
    serving = len(state.records.endpoints_of(settings.slice))
    return BlastRadius(
        instances=instances,
        capacity_share=min(1.0, gone / of) if of else 0.0,
        dependants=state.topology().dependants(SliceName(settings.slice)) if gone else (),
        budget_left=max(0, serving - settings.min_available),
    )


def _stopping(state: PlanState, target: SliceTarget, wanted: int) -> int:
    """Instances that serve and are too many then: placement takes those first that do not serve yet."""
    version = target.settings.version
    serving = sum(each.version == version for each in state.records.endpoints_of(target.settings.slice))
    return max(0, serving - wanted)


def _unrouted(state: PlanState, request: WeightsRequest, before: dict[Version, int]) -> BlastRadius:
    """Of the instances that get calls now: those of versions that get none any more."""
    serving = Counter(each.version for each in state.records.endpoints_of(request.slice))
    called = sum(count for version, count in serving.items() if before.get(version))
    lost = sum(serving[version] for version, weight in before.items() if weight and request.weights.get(version) == 0)
    return BlastRadius(
        instances=lost,
        capacity_share=lost / called if called else 0.0,
        dependants=state.topology().dependants(request.slice),
    )


def _change(
    name: str,
    summary: str,
    request: type[Request],
    result: type[Result],
    route: Route,
    plan: Callable[..., Plan | Refusal],
    *,
    risk: Risk = Risk.LOW,
    effect: Effect = Effect.IDEMPOTENT,
    converged: Callable[..., Convergence] = always_converged,
) -> Change[Request]:
    return Change(
        name=name,
        summary=summary,
        request=request,
        result=result,
        route=route,
        role=Role.OPERATOR,
        risk=risk,
        effect=effect,
        subject=subject,  # type: ignore[arg-type]  # requests of this file
        plan=plan,
        errors=("slice_not_found", "version_ambiguous", "out_of_bounds"),
        converged=converged,
    )


OPERATIONS: Final = (
    _change(
        "slice.scale",
        "Change how many instances of a slice are wanted.",
        ScaleRequest,
        results.SliceScaled,
        Route(method="PUT", path="/v1/slices/{slice}/scale"),
        plan_scale,
        converged=scaled,
    ),
    _change(
        "slice.restart",
        "Start all instances of a slice anew, a few at a time.",
        RestartRequest,
        results.SliceRestarted,
        Route(method="POST", path="/v1/slices/{slice}/restart"),
        plan_restart,
        effect=Effect.ONCE,
        converged=restarted,
    ),
    _change(
        "slice.set-bounds",
        "Change how few and how many instances a slice may have.",
        BoundsRequest,
        results.BoundsSet,
        Route(method="PUT", path="/v1/slices/{slice}/bounds"),
        plan_bounds,
        risk=Risk.MEDIUM,
    ),
    _change(
        "slice.set-routing-weights",
        "Change how calls are shared among the versions of a slice.",
        WeightsRequest,
        results.WeightsSet,
        Route(method="PUT", path="/v1/slices/{slice}/weights"),
        plan_weights,
        risk=Risk.MEDIUM,
    ),
)
