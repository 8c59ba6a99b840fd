"""Operations on the rules by which alerts begin and end."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.alerts.fields import FOR_S_MAX, AlertNameField, metric_unknown
from runtime.operations.fields import BOUND_MAX, END
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.refusals import subject_unknown
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.telemetry.alerts.builtin import BUILTIN, THRESHOLD
from runtime.telemetry.alerts.figures import kind_of, name_of
from runtime.telemetry.alerts.metrics import METRICS
from runtime.telemetry.alerts.records import AlertRule
from runtime.telemetry.alerts.rules import ANY

BoundField = Annotated[float, Meta(ge=-BOUND_MAX, le=BOUND_MAX)]
SecondsField = Annotated[int, Meta(ge=0, le=FOR_S_MAX)]
RuleMetricField = Annotated[
    str,
    Meta(pattern=rf"^[a-z][a-z0-9_]*{END}", max_length=63, description="A metric of docs/reference/alerts.md."),
]
SummaryField = Annotated[str, Meta(max_length=300)]
MoreLabelsField = Annotated[dict[str, Annotated[str, Meta(max_length=100)]], Meta(max_length=10)]
SubjectField = Annotated[
    str,
    Meta(
        pattern=rf"^(|cluster|(slice|node|store):[a-z0-9-]+){END}",
        max_length=80,
        description='Only of this one, as "slice:orders"; of all of the kind if not given.',
    ),
]


class RuleRequest(Request, frozen=True, kw_only=True):
    """What is not given stays as it is; of a new rule, `kind`, `metric` and one of the bounds must be."""

    name: AlertNameField
    subject: SubjectField = ""
    kind: Literal["", "slice", "node", "store", "cluster"] = ""
    metric: RuleMetricField | None = None
    also: Annotated[
        tuple[RuleMetricField, ...] | None, Meta(description="Metrics that must be beyond the same bound too.")
    ] = None
    direction: Literal["", "above", "below"] = ""
    warning: Annotated[BoundField | None, Meta(description="A warning begins beyond it.")] = None
    critical: Annotated[BoundField | None, Meta(description="A critical alert begins beyond it.")] = None
    warning_ends: Annotated[BoundField | None, Meta(description="A warning ends behind it; else behind the bound.")] = (
        None
    )
    critical_ends: Annotated[BoundField | None, Meta(description="The same of a critical one.")] = None
    drop: Annotated[
        tuple[Literal["warning", "critical"], ...], Meta(max_length=2, description="Levels that it has no more.")
    ] = ()
    for_s: Annotated[SecondsField | None, Meta(description="Seconds beyond the bound before it begins.")] = None
    ends_after_s: Annotated[SecondsField | None, Meta(description="Seconds back behind it before it ends.")] = None
    state: Annotated[Literal["", "on", "off"], Meta(description="Whether it is heeded.")] = ""
    summary: Annotated[
        SummaryField | None, Meta(description="What it means; {subject}, {value}, {bound} are filled in.")
    ] = None
    labels: Annotated[MoreLabelsField | None, Meta(description="More labels.")] = None
    replace: Annotated[bool, Meta(description="Forget what it was: what is not given is as for a new rule.")] = False


class UnsetRuleRequest(Request, frozen=True, kw_only=True):
    name: AlertNameField
    subject: SubjectField = ""


class RuleSet(Result, frozen=True, kw_only=True):
    name: str
    subject: str
    rule: AlertRule


class RuleUnset(Result, frozen=True, kw_only=True):
    name: str
    subject: str
    is_builtin: Annotated[bool, Meta(description="The built-in rule of that name holds again.")]


def of_rule(request: RuleRequest | UnsetRuleRequest) -> str:
    kind = kind_of(request.subject)
    return request.subject if kind in ("slice", "node") else subjects.CLUSTER


def key_of(request: RuleRequest | UnsetRuleRequest) -> str:
    return keys.alert_rule(request.name, request.subject or ANY)


def plan_set(state: PlanState, request: RuleRequest) -> Plan | Refusal:
    if request.name == THRESHOLD:
        return _invalid(f"{THRESHOLD} is what alerts on thresholds are called", "Use aether alert set-threshold.")
    key = key_of(request)
    raw = state.value(key)
    before = None if request.replace else _known(state, request, raw)
    rule = _merged(before, request)
    if isinstance(rule, Refusal):
        return rule
    problem = _problem(state, request, rule)
    if problem is not None:
        return problem
    after = encode(rule)
    return Plan(
        operation="alert.set-rule",
        subject=of_rule(request),
        summary=f"alerts {request.name} of {request.subject or f'every {rule.kind}'}: {in_words(rule)}",
        changes=() if raw == after else (KeyChange(key=key, before=raw, after=after),),
        reads=state.reads,
        inverse=_before(request, raw),
        result={"name": request.name, "subject": request.subject, "rule": msgspec.to_builtins(rule)},
    )


def _known(state: PlanState, request: RuleRequest, raw: bytes | None) -> AlertRule | None:
    """What it changes: the record, else what holds for all, else the built-in rule."""
    general = state.value(keys.alert_rule(request.name, ANY)) if request.subject else None
    found = raw or general
    return decode(found, AlertRule) if found is not None else BUILTIN.get(request.name)


def _merged(before: AlertRule | None, request: RuleRequest) -> AlertRule | Refusal:
    members: dict[str, object] = msgspec.structs.asdict(before) if before is not None else {}
    given = {
        name: value
        for name in ("metric", "also", "warning", "critical", "warning_ends", "critical_ends", "for_s")
        if (value := getattr(request, name)) is not None
    }
    more = {
        name: value for name in ("ends_after_s", "summary", "labels") if (value := getattr(request, name)) is not None
    }
    words = {name: value for name in ("kind", "direction") if (value := getattr(request, name))}
    members |= _moved_ends(before, request) | given | more | words
    for level in request.drop:
        members |= {level: None, f"{level}_ends": None}
    if request.state:
        members["enabled"] = request.state == "on"
    missing = [name for name in ("kind", "metric") if not members.get(name)]
    if missing:
        known = nearest(request.name, BUILTIN)
        return _invalid(f"there is no rule {request.name!r} yet, and a new one needs {' and '.join(missing)}{known}")
    return msgspec.convert(members, AlertRule)


def _moved_ends(before: AlertRule | None, request: RuleRequest) -> dict[str, object]:
    """A bound that is moved takes that of its end along, in the same proportion, unless one is given too."""
    found: dict[str, object] = {}
    for level in ("warning", "critical"):
        moved, bound, end = (
            getattr(request, level),
            getattr(before, level, None),
            getattr(before, f"{level}_ends", None),
        )
        if moved is not None and bound and end is not None:
            found[f"{level}_ends"] = round(moved * end / bound, 9)
    return found


def _problem(state: PlanState, request: RuleRequest, rule: AlertRule) -> Refusal | None:
    for metric in (rule.metric, *rule.also):
        if metric not in METRICS[rule.kind]:
            return metric_unknown(rule.kind, metric)
    if request.subject and kind_of(request.subject) != rule.kind:
        return _invalid(f"{request.subject} is no {rule.kind}, which {request.name} is about")
    if request.subject:
        place = request.subject.replace("store:", "node:")
        unknown = subject_unknown(state, place)
        if unknown is not None:
            return unknown
    return _bounds_problem(rule)


def _bounds_problem(rule: AlertRule) -> Refusal | None:
    """A bound of the end on the wrong side would make an alert begin and end for ever."""
    if rule.warning is None and rule.critical is None:
        return _invalid("it has neither a warning nor a critical bound")
    sign = 1 if rule.direction == "above" else -1
    for level in ("warning", "critical"):
        bound, end = getattr(rule, level), getattr(rule, f"{level}_ends")
        if end is not None and (bound is None or (end - bound) * sign > 0):
            side = "above" if rule.direction == "above" else "below"
            return _invalid(f"{level}_ends is {side} the bound of {level}: it would end before it is back")
        if end is not None and end < 0 and rule.direction == "above":
            return _invalid(f"{rule.metric} is never below 0: {level} would never end")
        highest = METRICS[rule.kind][rule.metric].highest
        if bound is not None and rule.direction == "above" and highest is not None and bound >= highest:
            return _invalid(f"{rule.metric} is never above {highest:g}: that rule would tell nothing")
    if rule.warning is not None and rule.critical is not None and (rule.critical - rule.warning) * sign < 0:
        return _invalid("the critical bound is passed before that of the warning")
    return None


def _invalid(detail: str, remedy: str = "docs/guides/alerts.md says what rules are made of.") -> Refusal:
    return Refusal(code="rule_invalid", detail=detail, remedy=remedy)


def in_words(rule: AlertRule) -> str:
    if not rule.enabled:
        return "none"
    metrics = " and ".join((rule.metric, *rule.also))
    levels = [f"{name} {bound:g}" for name in ("critical", "warning") if (bound := getattr(rule, name)) is not None]
    return f"{metrics} {rule.direction} {', '.join(levels)} for {rule.for_s} s"


def _before(request: RuleRequest, raw: bytes | None) -> Call:
    place: dict[str, Json] = {"name": request.name}
    if request.subject:
        place["subject"] = request.subject
    if raw is None:
        return Call(operation="alert.unset-rule", request=place)
    return Call(operation="alert.set-rule", request={**place, **_members(decode(raw, AlertRule))})


def _members(rule: AlertRule) -> dict[str, Json]:
    told: dict[str, Json] = {name: value for name, value in msgspec.to_builtins(rule).items() if value is not None}
    told["state"] = "on" if told.pop("enabled") else "off"
    return {**told, "replace": True}


def plan_unset(state: PlanState, request: UnsetRuleRequest) -> Plan | Refusal:
    key = key_of(request)
    before = state.value(key)
    if before is None:
        set_here = {keys.parts(item.key)[0] for item in state.all_items(keys.ALERT_RULES)}
        of_all = " everywhere" if not request.subject else f" for {name_of(request.subject)}"
        hint = "; it is built in: switch it off with --state off" if request.name in BUILTIN else ""
        return Refusal(
            code="rule_not_found",
            detail=f"no rule {request.name!r} is set{of_all}{hint or nearest(request.name, set_here)}",
            remedy="List them: aether alert rules.",
        )
    return Plan(
        operation="alert.unset-rule",
        subject=of_rule(request),
        summary=f"alerts {request.name} of {request.subject or 'all'} are as they were before anybody set them",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=Call(
            operation="alert.set-rule",
            request={
                "name": request.name,
                **({"subject": request.subject} if request.subject else {}),
                **_members(decode(before, AlertRule)),
            },
        ),
        result={"name": request.name, "subject": request.subject, "is_builtin": request.name in BUILTIN},
    )


OPERATIONS: Final = (
    Change(
        name="alert.set-rule",
        summary="Say at which figures an alert begins and ends: a new rule, or a change of one.",
        request=RuleRequest,
        result=RuleSet,
        route=Route(method="PUT", path="/v1/alert-rules/{name}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_rule,
        plan=plan_set,
        errors=("rule_invalid", "metric_unknown", "slice_not_found", "node_not_found"),
    ),
    Change(
        name="alert.unset-rule",
        summary="Take a rule away; a built-in one is as it was.",
        request=UnsetRuleRequest,
        result=RuleUnset,
        route=Route(method="DELETE", path="/v1/alert-rules/{name}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_rule,
        plan=plan_unset,
        errors=("rule_not_found",),
    ),
)
