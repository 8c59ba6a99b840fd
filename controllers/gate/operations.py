"""Operations on the gate itself: its policy, freezes and incidents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta

from controllers.gate.errors import PolicyInvalid
from controllers.gate.policy import TEXT_BYTES_MAX, default_text, parse_policy
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import END
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal, turn
from runtime.operations.refusals import subject_unknown
from runtime.operations.state import PlanState
from runtime.state import keys

SubjectField = Annotated[
    str,
    Meta(
        pattern=rf"^(cluster|(slice|node|blueprint|artifact):[A-Za-z0-9._@-]+){END}",
        max_length=120,
        description='"cluster", or what it is about, as "slice:orders" or "node:n1".',
    ),
]
WhyField = Annotated[str, Meta(min_length=1, max_length=500, description="Why, in words; shown wherever it matters.")]


UNKNOWN: Final = ("slice_not_found", "node_not_found", "blueprint_not_found", "artifact_not_found")


class PolicyRequest(Request, frozen=True, kw_only=True):
    source: Annotated[str, Meta(max_length=TEXT_BYTES_MAX, description="The whole policy as TOML.")]


class ResetRequest(Request, frozen=True, kw_only=True):
    pass


class FreezeRequest(Request, frozen=True, kw_only=True):
    subject: SubjectField
    why: WhyField


class SubjectRequest(Request, frozen=True, kw_only=True):
    subject: SubjectField


def plan_policy(state: PlanState, request: PolicyRequest) -> Plan | Refusal:
    try:
        policy = parse_policy(request.source)
    except PolicyInvalid as fault:
        return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)
    before, after = state.value(keys.POLICY), request.source.encode()
    return Plan(
        operation="policy.set",
        subject=subjects.CLUSTER,
        summary=f"the gate decides by version {policy.version} of the policy",
        changes=() if before == after else (KeyChange(key=keys.POLICY, before=before, after=after),),
        reads=state.reads,
        inverse=_policy_before(before),
        result={"version": policy.version},
    )


def plan_reset(state: PlanState, _request: ResetRequest) -> Plan | Refusal:
    before = state.value(keys.POLICY)
    return Plan(
        operation="policy.reset",
        subject=subjects.CLUSTER,
        summary="the gate decides by the default policy",
        changes=() if before is None else (KeyChange(key=keys.POLICY, before=before, after=None),),
        reads=state.reads,
        inverse=_policy_before(before) if before is not None else None,
        result={"version": parse_policy(default_text()).version},
    )


def _policy_before(before: bytes | None) -> Call:
    if before is None:
        return Call(operation="policy.reset", request={})
    return Call(operation="policy.set", request={"source": before.decode()})


def _marked(state: PlanState, change: KeyChange) -> tuple[KeyChange, ...]:
    return (change, turn(keys.MARKS_TURN, state))


def _begins(
    operation: str, inverse: str, prefix: str, words: str
) -> Callable[[PlanState, FreezeRequest], Plan | Refusal]:
    def plan(state: PlanState, request: FreezeRequest) -> Plan | Refusal:
        unknown = subject_unknown(state, request.subject)
        if unknown is not None:
            return unknown
        key, after = f"{prefix}{request.subject}", request.why.encode()
        before = state.value(key)
        back: dict[str, Json] = {"subject": request.subject}
        return Plan(
            operation=operation,
            subject=request.subject,
            summary=f"{words.format(subject=request.subject)}: {request.why}",
            changes=() if before == after else _marked(state, KeyChange(key=key, before=before, after=after)),
            reads=state.reads,
            inverse=Call(operation=inverse, request=back)
            if before is None
            else Call(operation=operation, request={**back, "why": before.decode()}),
            result={"subject": request.subject, "why": request.why},
        )

    return plan


def _ends(
    operation: str, inverse: str, prefix: str, words: str, code: str
) -> Callable[[PlanState, SubjectRequest], Plan | Refusal]:
    def plan(state: PlanState, request: SubjectRequest) -> Plan | Refusal:
        key = f"{prefix}{request.subject}"
        before = state.value(key)
        if before is None:
            held = [item.key.removeprefix(prefix) for item in state.all_items(prefix)]
            known = f"; there is one at {', '.join(held[:3])}" if held else ""
            return Refusal(code=code, detail=f"there is none at {request.subject}{known}")
        return Plan(
            operation=operation,
            subject=request.subject,
            summary=words.format(subject=request.subject),
            changes=_marked(state, KeyChange(key=key, before=before, after=None)),
            reads=state.reads,
            inverse=Call(operation=inverse, request={"subject": request.subject, "why": before.decode()}),
            result={"subject": request.subject},
        )

    return plan


def _change(
    name: str,
    summary: str,
    request: type[Request],
    result: type[Result],
    route: Route,
    plan: Callable[..., Plan | Refusal],
    *,
    risk: Risk = Risk.LOW,
    error: str = "",
) -> Change[Request]:
    """Of freezes and incidents: a freeze holds back neither its own end nor the report of what goes wrong."""
    return Change(
        name=name,
        summary=summary,
        request=request,
        result=result,
        route=route,
        role=Role.OPERATOR,
        risk=risk,
        effect=Effect.IDEMPOTENT,
        subject=lambda each: str(getattr(each, "subject", subjects.CLUSTER)),
        plan=plan,
        errors=(error,) if error else UNKNOWN,
        heeds_freeze=False,
    )


OPERATIONS: Final = (
    Change(
        name="policy.set",
        summary="Replace the gate's policy.",
        request=PolicyRequest,
        result=results.PolicySet,
        route=Route(method="PUT", path="/v1/policy"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_policy,
        errors=("policy_invalid",),
    ),
    Change(
        name="policy.reset",
        summary="Take the gate's policy back to the default.",
        request=ResetRequest,
        result=results.PolicySet,
        route=Route(method="DELETE", path="/v1/policy"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_reset,
    ),
    _change(
        "freeze.set",
        "Hold changes back: what would be done at once then needs approvals.",
        FreezeRequest,
        results.SubjectMarked,
        Route(method="PUT", path="/v1/freezes/{subject}"),
        _begins("freeze.set", "freeze.lift", keys.FREEZES, "changes of {subject} are frozen"),
    ),
    _change(
        "freeze.lift",
        "Hold changes back no more.",
        SubjectRequest,
        results.SubjectUnmarked,
        Route(method="DELETE", path="/v1/freezes/{subject}"),
        _ends(
            "freeze.lift",
            "freeze.set",
            keys.FREEZES,
            "changes of {subject} are not frozen any more",
            "freeze_not_found",
        ),
        risk=Risk.HIGH,
        error="freeze_not_found",
    ),
    _change(
        "incident.open",
        "Say that something goes wrong at a subject; its changes then need more consent.",
        FreezeRequest,
        results.SubjectMarked,
        Route(method="PUT", path="/v1/incidents/{subject}"),
        _begins("incident.open", "incident.close", keys.INCIDENTS, "an incident is open at {subject}"),
    ),
    _change(
        "incident.close",
        "Say that an incident is over.",
        SubjectRequest,
        results.SubjectUnmarked,
        Route(method="DELETE", path="/v1/incidents/{subject}"),
        _ends(
            "incident.close", "incident.open", keys.INCIDENTS, "the incident at {subject} is over", "incident_not_found"
        ),
        risk=Risk.MEDIUM,
        error="incident_not_found",
    ),
)
