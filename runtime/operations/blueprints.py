"""Operations on blueprints: apply and delete. Validating is a dry run of applying."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final

from msgspec import Meta

from runtime.deployment.blueprint import check_against, check_still_met, parse
from runtime.deployment.errors import BlueprintInvalid, DeploymentFault
from runtime.names import BlueprintId
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import BlueprintField
from runtime.operations.operation import SECRET, Change, Convergence, Effect, Request, Risk, Route
from runtime.operations.plan import BlastRadius, Call, KeyChange, Plan, Refusal, turn
from runtime.operations.refusals import blueprint_unknown
from runtime.operations.state import PlanState
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import BlueprintRecord, BlueprintSlice, SliceTarget, encode

SOURCE_CHARS_MAX: Final = 48 * 1024  # with its parsed form it must fit a value of 64 KiB, and a proposal too
DEPLOY_MS: Final = 3_000


class ApplyRequest(Request, frozen=True, kw_only=True):
    blueprint: BlueprintField
    source: Annotated[str, Meta(max_length=SOURCE_CHARS_MAX, description="The blueprint as TOML.", extra=SECRET)]


class DeleteRequest(Request, frozen=True, kw_only=True):
    blueprint: BlueprintField


def subject(request: ApplyRequest | DeleteRequest) -> str:
    return subjects.of_blueprint(request.blueprint)


def plan_apply(state: PlanState, request: ApplyRequest) -> Plan | Refusal:
    """Blueprint and targets together. A slice that was scaled by hand keeps its number if that fits."""
    try:
        record = parse(request.source.encode())
        if record.blueprint != request.blueprint:
            raise BlueprintInvalid(f"the request names {request.blueprint!r}", key="id")
        contracts = _checked(state, record)
        targets = _targets(state, record)
    except DeploymentFault as fault:
        return refusal_of(fault)
    before = state.records.blueprint(record.blueprint)
    old = _targets_by_key(state, record.blueprint)
    changes = [turn(keys.BLUEPRINTS_TURN, state)]
    changes += _differences(old, targets)
    if before != record:
        key = keys.blueprint(record.blueprint)
        changes.append(KeyChange(key=key, before=state.value(key), after=encode(record)))
    routes = sorted(f"{route.method} {route.path}" for c in contracts for m in c.methods for route in m.routes)
    return Plan(
        operation="blueprint.apply",
        subject=subject(request),
        summary=_apply_words(record, old, targets),
        changes=tuple(changes) if len(changes) > 1 else (),
        reads=state.reads,
        blast=_blast(state, old, targets),
        inverse=_undo(record.blueprint, before),
        estimated_ms=DEPLOY_MS,
        result={
            "blueprint": record.blueprint,
            "slices": [each.slice for each in record.slices],
            "routes": list(routes),
        },
    )


def plan_delete(state: PlanState, request: DeleteRequest) -> Plan | Refusal:
    name = BlueprintId(request.blueprint)
    record = state.records.blueprint(name)
    if record is None:
        return blueprint_unknown(state, name)
    old = _targets_by_key(state, name)
    try:
        check_still_met(_others(state, name), before=[each.settings.slice for each in old.values()], after=())
    except DeploymentFault as fault:
        return refusal_of(fault)
    changes = [
        turn(keys.BLUEPRINTS_TURN, state),
        KeyChange(key=keys.blueprint(name), before=encode(record), after=None),
        *_differences(old, {}),
    ]
    return Plan(
        operation="blueprint.delete",
        subject=subject(request),
        summary=f"blueprint {name} and its {len(old)} slices go",
        changes=tuple(changes),
        reads=state.reads,
        blast=_blast(state, old, {}),
        inverse=_undo(name, record),
        estimated_ms=DEPLOY_MS,
        result={"blueprint": name, "deleted": True},
    )


def refusal_of(fault: DeploymentFault) -> Refusal:
    problem = fault.problem()
    return Refusal(
        code=fault.code,
        detail=str(fault),
        remedy=str(problem.get("remedy", "")),
        retryable=fault.retryable,
        where={name: problem[name] for name in ("line", "key") if name in problem},
    )


def applied(state: PlanState, request: ApplyRequest) -> Convergence:
    waits = []
    for target in state.records.targets():
        settings = target.settings
        if target.blueprint != request.blueprint:
            continue
        serving = sum(each.version == settings.version for each in state.records.endpoints_of(settings.slice))
        if serving != target.wanted:
            waits.append(f"{serving} of {target.wanted} instances of {settings.slice} serve")
    return Convergence(done=not waits, waits_for="; ".join(waits))


def deleted(state: PlanState, request: DeleteRequest) -> Convergence:
    targets = [each for each in state.records.targets() if each.blueprint == request.blueprint]
    return Convergence(done=not targets, waits_for=f"{len(targets)} slices are still there" if targets else "")


def _checked(state: PlanState, record: BlueprintRecord) -> tuple[SliceContract, ...]:
    contracts = {}
    for coordinate in sorted({row.artifact for row in record.slices}):
        name, _, version = coordinate.partition("==")
        artifact = state.records.artifact(name, version)
        if artifact is not None:
            contracts[coordinate] = artifact.slices
    others = _others(state, record.blueprint)
    known = contracts or {f"{each.name}=={each.version}": each.slices for each in state.all_records.artifacts()}
    found = check_against(record, contracts=known, others=others)
    before = [each.settings.slice for each in _targets_by_key(state, record.blueprint).values()]
    check_still_met(others, before=before, after=[row.slice for row in record.slices])
    return found


def _others(state: PlanState, blueprint: str) -> list[tuple[BlueprintSlice, SliceContract]]:
    """Slices of all other blueprints: noted as the one key that every change of a blueprint writes."""
    state.get(keys.BLUEPRINTS_TURN)
    return [
        (target.settings, contract)
        for target in state.all_records.targets()
        if target.blueprint != blueprint
        and (contract := state.all_records.contract(target.settings.slice, target.settings.version)) is not None
    ]


def _targets_by_key(state: PlanState, blueprint: str) -> dict[str, SliceTarget]:
    """Of one blueprint, each noted."""
    found = {}
    for each in state.all_records.targets():
        if each.blueprint == blueprint:
            key = keys.target(each.settings.slice, each.settings.version)
            state.get(key)
            found[key] = each
    return found


def _targets(state: PlanState, record: BlueprintRecord) -> dict[str, SliceTarget]:
    found: dict[str, SliceTarget] = {}
    for settings in record.slices:
        old = state.records.target(settings.slice, settings.version)
        if old is not None and old.blueprint != record.blueprint:
            raise BlueprintInvalid(f"{settings.slice} {settings.version} belongs to blueprint {old.blueprint}")
        scaled = old is not None and old.wanted != old.settings.instances
        wanted = old.wanted if old is not None and scaled else settings.instances
        name, _, version = settings.artifact.partition("==")
        artifact = state.records.artifact(name, version)
        assert artifact is not None, "checked before"
        found[keys.target(settings.slice, settings.version)] = SliceTarget(
            blueprint=record.blueprint,
            settings=settings,
            artifact_sha256=artifact.sha256,
            wanted=min(max(wanted, settings.min), settings.max),
            restarts=old.restarts if old is not None else 0,
        )
    return found


def _differences(old: dict[str, SliceTarget], new: dict[str, SliceTarget]) -> list[KeyChange]:
    return [
        KeyChange(
            key=key,
            before=encode(old[key]) if key in old else None,
            after=encode(new[key]) if key in new else None,
        )
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _apply_words(record: BlueprintRecord, old: dict[str, SliceTarget], new: dict[str, SliceTarget]) -> str:
    added, gone = len(new.keys() - old.keys()), len(old.keys() - new.keys())
    changed = sum(old[key] != new[key] for key in old.keys() & new.keys())
    return f"blueprint {record.blueprint}: {added} slices new, {changed} changed, {gone} gone"


def _undo(name: str, before: BlueprintRecord | None) -> Call:
    if before is None:
        return Call(operation="blueprint.delete", request={"blueprint": name})
    return Call(operation="blueprint.apply", request={"blueprint": name, "source": before.source})


def _blast(state: PlanState, old: dict[str, SliceTarget], new: dict[str, SliceTarget]) -> BlastRadius:
    """The share is that of the slice that loses most: what one gains is of no use to another's callers."""
    before, after = _wanted(old), _wanted(new)
    lost = {name: count - after[name] for name, count in before.items() if count > after[name]}
    gone = {each.settings.slice for each in old.values()} - {each.settings.slice for each in new.values()}
    topology = state.topology()
    outside = {name for each in gone for name in topology.dependants(each)} - gone
    return BlastRadius(
        instances=sum(lost.values()),
        capacity_share=max((count / before[name] for name, count in lost.items()), default=0.0),
        dependants=tuple(sorted(outside)),
    )


def _wanted(targets: dict[str, SliceTarget]) -> Counter[str]:
    """Instances of each slice, over all its versions."""
    found: Counter[str] = Counter()
    for each in targets.values():
        found[each.settings.slice] += each.wanted
    return found


OPERATIONS: Final = (
    Change(
        name="blueprint.apply",
        summary="Make the cluster as a blueprint says.",
        request=ApplyRequest,
        result=results.BlueprintApplied,
        route=Route(method="PUT", path="/v1/blueprints/{blueprint}"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=subject,
        plan=plan_apply,
        converged=applied,
        errors=("blueprint_invalid", "blueprint_required"),
    ),
    Change(
        name="blueprint.delete",
        summary="Stop everything that a blueprint deploys, and forget it.",
        request=DeleteRequest,
        result=results.BlueprintDeleted,
        route=Route(method="DELETE", path="/v1/blueprints/{blueprint}"),
        role=Role.OPERATOR,
        risk=Risk.HIGH,
        effect=Effect.IDEMPOTENT,
        subject=subject,
        plan=plan_delete,
        converged=deleted,
        errors=("blueprint_not_found", "blueprint_required"),
    ),
)
