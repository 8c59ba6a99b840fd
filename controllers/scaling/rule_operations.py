"""Operations on the rules that operators write: set them for all slices or for one, and take them away."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from controllers.scaling.config import ConfigRecord
from controllers.scaling.errors import OwnRulesInvalid
from controllers.scaling.operations import OnlySlice
from controllers.scaling.own_rules import SOURCE, TEXT_BYTES_MAX, parse_own_rules, scope_of_rules, text_of
from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.refusals import slice_unknown
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import encode

SET, UNSET = "controller.set-rules", "controller.unset-rules"


class SetRulesRequest(Request, frozen=True, kw_only=True):
    source: Annotated[str, Meta(max_length=TEXT_BYTES_MAX, description="The rules as TOML; docs/scaling.md has them.")]
    slice: OnlySlice = ""


class UnsetRulesRequest(Request, frozen=True, kw_only=True):
    slice: OnlySlice = ""


class OwnRulesSet(Result, frozen=True, kw_only=True):
    slice: Annotated[str, Meta(description="Empty: of all slices that have none of their own.")]
    rules: Annotated[tuple[str, ...], Meta(description="Their names.")]


def plan_set_rules(state: PlanState, request: SetRulesRequest) -> Plan | Refusal:
    if request.slice and not state.records.targets_of(request.slice):
        return slice_unknown(state, request.slice)
    try:
        found = parse_own_rules(request.source)
    except OwnRulesInvalid as fault:
        return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)
    names = tuple(rule.name for rule in found.rules)
    beside = "beside the tree" if found.tree else "instead of the tree"
    summary = f"{_whose(request.slice)} scaled by {', '.join(names)}, {beside}"
    return _plan(state, SET, request.slice, summary, request.source, names)


def plan_unset_rules(state: PlanState, request: UnsetRulesRequest) -> Plan:
    return _plan(state, UNSET, request.slice, f"{_whose(request.slice)} scaled without such rules", "", ())


def _plan(state: PlanState, operation: str, slice_name: str, summary: str, source: str, names: tuple[str, ...]) -> Plan:
    key = keys.scaling_config(scope_of_rules(slice_name))
    before, was = state.value(key), text_of(state, slice_name)
    after = encode(ConfigRecord(members={SOURCE: source})) if source else None
    where: dict[str, Json] = {"slice": slice_name} if slice_name else {}
    back = Call(operation=SET, request={**where, "source": was}) if was else Call(operation=UNSET, request=where)
    return Plan(
        operation=operation,
        subject=_subject(slice_name),
        summary=summary,
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=back,
        result={"slice": slice_name, "rules": list(names)},
    )


def _whose(slice_name: str) -> str:
    return f"{slice_name} is" if slice_name else "all slices without rules of their own are"


def _subject(slice_name: str) -> str:
    return subjects.of_slice(slice_name) if slice_name else subjects.CLUSTER


OPERATIONS: Final = (
    Change(
        name=SET,
        summary="Scale slices by rules of one's own, beside the tree or instead of it.",
        request=SetRulesRequest,
        result=OwnRulesSet,
        route=Route(method="PUT", path="/v1/controller/rules"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: _subject(request.slice),
        plan=plan_set_rules,
        errors=("slice_not_found", "scaling_rules_invalid"),
    ),
    Change(
        name=UNSET,
        summary="Take rules of one's own away: the tree judges alone again.",
        request=UnsetRulesRequest,
        result=OwnRulesSet,
        route=Route(method="DELETE", path="/v1/controller/rules"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: _subject(request.slice),
        plan=plan_unset_rules,
    ),
)
