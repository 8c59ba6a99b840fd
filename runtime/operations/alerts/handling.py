"""Operations of people who handle alerts: take one on, and keep some from being told for a while."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.alerts.fields import (
    FingerprintField,
    MadeField,
    MatchersField,
    NamedField,
    SignedField,
    WhyField,
    matchers_invalid,
    names_below,
)
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.telemetry.alerts.labels import fits
from runtime.telemetry.alerts.records import Acknowledgement, Alert, Silence

MINUTE_MS: Final = 60_000
SILENCE_MIN_MAX: Final = 30 * 24 * 60
SILENCES_MAX: Final = 100  # each is held against every alert, each second


class AckRequest(Request, frozen=True, kw_only=True):
    fingerprint: FingerprintField
    why: WhyField = ""
    created_unix_ms: MadeField = 0
    signed_by: SignedField = ""


class UnackRequest(Request, frozen=True, kw_only=True):
    fingerprint: FingerprintField


class SilenceRequest(Request, frozen=True, kw_only=True):
    name: Annotated[NamedField, Meta(description="Of the silence; one of that name is replaced.")]
    matchers: MatchersField
    minutes: Annotated[int, Meta(ge=1, le=SILENCE_MIN_MAX, description="For how long.")] = 60
    why: WhyField = ""
    created_unix_ms: MadeField = 0
    signed_by: SignedField = ""


class UnsilenceRequest(Request, frozen=True, kw_only=True):
    name: Annotated[NamedField, Meta(description="Of the silence.")]


class Acknowledged(Result, frozen=True, kw_only=True):
    fingerprint: str
    subject: Annotated[str, Meta(description="What the alert is about.")]
    by: str


class Unacknowledged(Result, frozen=True, kw_only=True):
    fingerprint: str


class Silenced(Result, frozen=True, kw_only=True):
    name: str
    until_unix_ms: int
    alerts: Annotated[int, Meta(ge=0, description="How many that last it fits now.")]


class Unsilenced(Result, frozen=True, kw_only=True):
    name: str


def plan_ack(state: PlanState, request: AckRequest) -> Plan | Refusal:
    found = _lasting(state, request.fingerprint)
    if isinstance(found, Refusal):
        return found
    raw, alert = found
    taken = Acknowledgement(by=request.signed_by, why=request.why, at_unix_ms=request.created_unix_ms)
    known = alert.acknowledged
    if known is not None and (known.by, known.why) == (taken.by, taken.why):
        taken = known
    return Plan(
        operation="alert.ack",
        subject=subjects.of_alert(request.fingerprint),
        summary=f"{alert.labels.get('alertname', '')} of {alert.subject} is taken on, and told no more until it ends",
        changes=_changed(raw, alert, taken),
        reads=state.reads,
        inverse=_ack_before(request.fingerprint, known),
        result={"fingerprint": request.fingerprint, "subject": alert.subject, "by": taken.by},
    )


def plan_unack(state: PlanState, request: UnackRequest) -> Plan | Refusal:
    found = _lasting(state, request.fingerprint)
    if isinstance(found, Refusal):
        return found
    raw, alert = found
    return Plan(
        operation="alert.unack",
        subject=subjects.of_alert(request.fingerprint),
        summary=f"nobody has {alert.labels.get('alertname', '')} of {alert.subject} in hand any more",
        changes=_changed(raw, alert, None),
        reads=state.reads,
        inverse=_ack_before(request.fingerprint, alert.acknowledged),
        result={"fingerprint": request.fingerprint},
    )


def _lasting(state: PlanState, fingerprint: str) -> tuple[bytes, Alert] | Refusal:
    raw = state.value(keys.alert(fingerprint))
    alert = decode(raw, Alert) if raw is not None else None
    if raw is None or alert is None or not alert.lasts:
        near = nearest(fingerprint, names_below(state, keys.ALERTS))
        return Refusal(
            code="alert_not_found",
            detail=f"no alert {fingerprint} lasts{near}",
            remedy="List what lasts: aether alert list.",
        )
    return raw, alert


def _changed(raw: bytes, alert: Alert, taken: Acknowledgement | None) -> tuple[KeyChange, ...]:
    if alert.acknowledged == taken:
        return ()
    after = encode(msgspec.structs.replace(alert, acknowledged=taken))
    return (KeyChange(key=keys.alert(alert.fingerprint), before=raw, after=after),)


def _ack_before(fingerprint: str, known: Acknowledgement | None) -> Call:
    members: dict[str, Json] = {"fingerprint": fingerprint}
    if known is None:
        return Call(operation="alert.unack", request=members)
    told: dict[str, Json] = {"why": known.why, "signed_by": known.by, "created_unix_ms": known.at_unix_ms}
    return Call(operation="alert.ack", request={**members, **told})


def plan_silence(state: PlanState, request: SilenceRequest) -> Plan | Refusal:
    if not request.matchers:
        detail = "a silence without a matcher would silence everything"
        return Refusal(code="matcher_invalid", detail=detail, remedy="To do so, say it: severity=~.+")
    refused = matchers_invalid(request.matchers)
    if refused is not None:
        return refused
    key = keys.alert_silence(request.name)
    before = state.value(key)
    if before is None and len(names_below(state, keys.ALERT_SILENCES)) >= SILENCES_MAX:
        detail = f"there are {SILENCES_MAX} silences already"
        return Refusal(code="too_many_silences", detail=detail, remedy="Take some away: aether alert unsilence.")
    silence = Silence(
        matchers=request.matchers,
        until_unix_ms=request.created_unix_ms + request.minutes * MINUTE_MS,
        created_unix_ms=request.created_unix_ms,
        by=request.signed_by,
        why=request.why,
    )
    after = encode(silence)
    return Plan(
        operation="alert.silence",
        subject=subjects.CLUSTER,
        summary=f"nobody is told of alerts with {', '.join(request.matchers)} for {request.minutes} minutes",
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=_silence_before(request.name, before),
        result={
            "name": request.name,
            "until_unix_ms": silence.until_unix_ms,
            "alerts": _fitting(state, request.matchers),
        },
    )


def _fitting(state: PlanState, matchers: tuple[str, ...]) -> int:
    """A hint: what is counted is not compared."""
    found = 0
    for item in state.all_items(keys.ALERTS):
        try:
            alert = decode(item.value, Alert)
        except msgspec.DecodeError:
            continue
        found += alert.lasts and fits(matchers, alert.labels)
    return found


def plan_unsilence(state: PlanState, request: UnsilenceRequest) -> Plan | Refusal:
    key = keys.alert_silence(request.name)
    before = state.value(key)
    if before is None:
        near = nearest(request.name, names_below(state, keys.ALERT_SILENCES))
        return Refusal(
            code="silence_not_found",
            detail=f"there is no silence {request.name!r}{near}",
            remedy="List them: aether alert silences.",
        )
    return Plan(
        operation="alert.unsilence",
        subject=subjects.CLUSTER,
        summary=f"what silence {request.name} kept back is told again",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=_silence_before(request.name, before),
        result={"name": request.name},
    )


def _silence_before(name: str, raw: bytes | None) -> Call:
    if raw is None:
        return Call(operation="alert.unsilence", request={"name": name})
    was = decode(raw, Silence)
    members: dict[str, Json] = {
        "name": name,
        "matchers": list(was.matchers),
        "minutes": max(1, (was.until_unix_ms - was.created_unix_ms) // MINUTE_MS),
        "why": was.why,
        "created_unix_ms": was.created_unix_ms,
        "signed_by": was.by,
    }
    return Call(operation="alert.silence", request=members)


OPERATIONS: Final = (
    Change(
        name="alert.ack",
        summary="Take an alert on: it is told no more until it ends.",
        request=AckRequest,
        result=Acknowledged,
        route=Route(method="PUT", path="/v1/alert-acknowledgements/{fingerprint}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: subjects.of_alert(request.fingerprint),
        plan=plan_ack,
        errors=("alert_not_found",),
        heeds_freeze=False,
    ),
    Change(
        name="alert.unack",
        summary="Give an alert back: it is told again.",
        request=UnackRequest,
        result=Unacknowledged,
        route=Route(method="DELETE", path="/v1/alert-acknowledgements/{fingerprint}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: subjects.of_alert(request.fingerprint),
        plan=plan_unack,
        errors=("alert_not_found",),
        heeds_freeze=False,
    ),
    Change(
        name="alert.silence",
        summary="Tell nobody of some alerts for a while.",
        request=SilenceRequest,
        result=Silenced,
        route=Route(method="PUT", path="/v1/alert-silences/{name}"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_silence,
        errors=("matcher_invalid", "too_many_silences"),
        heeds_freeze=False,
    ),
    Change(
        name="alert.unsilence",
        summary="Take a silence away before its time.",
        request=UnsilenceRequest,
        result=Unsilenced,
        route=Route(method="DELETE", path="/v1/alert-silences/{name}"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_unsilence,
        errors=("silence_not_found",),
        heeds_freeze=False,
    ),
)
