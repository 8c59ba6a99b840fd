"""Alerts from outside: what Alertmanager sends to webhooks (version 4), taken as alerts of origin `external`.

An alert is told again and again while it lasts, late, out of order, and more than once when a sender was restarted: the
sender's groupKey, fingerprint and startsAt say which alert it is, and what is older than what is known changes nothing.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.alerts.fields import MadeField
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.telemetry.alerts.labels import fingerprint_of
from runtime.telemetry.alerts.records import Alert, Labels

ALERTS_MAX: Final = 200
EXTERNAL_MAX: Final = 1_000  # of 2 KiB or so: a quarter of what the kind may hold; each is looked at each second
HEARD_AGAIN_MS: Final = 3_600_000
"""That an alert was told of again is noted only so often: each note is a change, with its audit record."""
VALUE_CHARS_MAX: Final = 500
SHORT: Final = 16

TextField = Annotated[str, Meta(max_length=1_000)]
LabelsField = Annotated[
    dict[Annotated[str, Meta(max_length=100)], Annotated[str, Meta(max_length=2_000)]], Meta(max_length=40)
]


MomentField = Annotated[datetime.datetime, Meta(tz=True, description="As in RFC 3339, with its zone.")]


class SentAlert(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert as Alertmanager sends it. `ends_at` of one that lasts is in the year 1, or in the future."""

    status: Literal["firing", "resolved"]
    labels: LabelsField
    annotations: LabelsField = msgspec.field(default_factory=dict)
    starts_at: MomentField
    ends_at: MomentField | None = None
    generator_u_r_l: Annotated[str, Meta(max_length=2_000)] = msgspec.field(default="", name="generatorURL")
    fingerprint: Annotated[str, Meta(max_length=64)] = ""


class ReceiveRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=False, rename="camel"):
    """Members that newer senders add are passed over."""

    version: Literal["4"] = "4"
    group_key: Annotated[str, Meta(min_length=1, max_length=1_000)]
    status: Literal["", "firing", "resolved"] = ""
    receiver: TextField = ""
    group_labels: LabelsField = msgspec.field(default_factory=dict)
    common_labels: LabelsField = msgspec.field(default_factory=dict)
    common_annotations: LabelsField = msgspec.field(default_factory=dict)
    external_u_r_l: TextField = msgspec.field(default="", name="externalURL")
    truncated_alerts: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    alerts: Annotated[tuple[SentAlert, ...], Meta(min_length=1, max_length=ALERTS_MAX)]
    created_unix_ms: MadeField = msgspec.field(default=0, name="created_unix_ms")


class AlertsReceived(Result, frozen=True, kw_only=True):
    fired: Annotated[int, Meta(ge=0, description="Alerts that are new, or began again.")]
    ended: Annotated[int, Meta(ge=0, description="Alerts that were known to last and have ended.")]
    known: Annotated[int, Meta(ge=0, description="Alerts that were known so already, or told too late to matter.")]


def of_group(request: ReceiveRequest) -> str:
    """One subject for each of the sender's groups, so that limits on one subject's changes hold for one group."""
    return subjects.of_alert(hashlib.sha256(request.group_key.encode()).hexdigest()[:SHORT])


def plan_receive(state: PlanState, request: ReceiveRequest) -> Plan | Refusal:
    changes, counts = [], {"fired": 0, "ended": 0, "known": 0}
    for sent in _distinct(request):
        fingerprint = identity_of(request.group_key, sent)
        key = keys.alert(fingerprint)
        raw = state.value(key)
        before = decode(raw, Alert) if raw is not None else None
        after = taken(before, sent, fingerprint, request)
        what = _told(before, after)
        counts[what] += 1
        if after is not None and after != before:
            changes.append(KeyChange(key=key, before=raw, after=encode(after)))
    if counts["fired"] and _external(state) + counts["fired"] > EXTERNAL_MAX:
        detail = f"{EXTERNAL_MAX} alerts from outside are kept at most"
        return Refusal(code="too_many_alerts", detail=detail, remedy="Send groups, or fewer of them.", retryable=True)
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return Plan(
        operation="alert.receive",
        subject=of_group(request),
        summary=f"alerts from outside: {words}",
        changes=tuple(changes),
        reads=state.reads,
        result={**counts},
    )


def _distinct(request: ReceiveRequest) -> Iterator[SentAlert]:
    """The newest of each, should one message hold several."""
    newest: dict[str, SentAlert] = {}
    for sent in request.alerts:
        identity = identity_of(request.group_key, sent)
        if identity not in newest or newest[identity].starts_at <= sent.starts_at:
            newest[identity] = sent
    yield from newest.values()


def identity_of(group_key: str, sent: SentAlert) -> str:
    return fingerprint_of({}, "external", group_key, sent.fingerprint or fingerprint_of(sent.labels))


def taken(before: Alert | None, sent: SentAlert, fingerprint: str, request: ReceiveRequest) -> Alert | None:
    """What is known of it from now on; None if nothing is kept: an end of what nobody knew."""
    starts, now = _unix_ms(sent.starts_at), request.created_unix_ms
    if before is not None and starts < before.starts_unix_ms:
        return before  # of its time before this one: it comes late
    same = before is not None and starts == before.starts_unix_ms
    if sent.status == "resolved":
        if before is None or not same or not before.lasts:
            return before
        ends = _unix_ms(sent.ends_at) if sent.ends_at is not None else 0
        return msgspec.structs.replace(before, ends_unix_ms=max(starts, ends or now, 1))
    if before is not None and same:
        stale = before.lasts and now - before.heard_unix_ms >= HEARD_AGAIN_MS
        return msgspec.structs.replace(before, heard_unix_ms=now) if stale else before
    return Alert(
        fingerprint=fingerprint,
        group_key=request.group_key,
        labels=_cut(sent.labels),
        annotations=_cut(sent.annotations),
        origin="external",
        starts_unix_ms=starts,
        fired_unix_ms=now,
        heard_unix_ms=now,
    )


def _told(before: Alert | None, after: Alert | None) -> str:
    if after is None or after is before or (before is not None and before.lasts and after.lasts):
        began_again = before is not None and after is not None and before.starts_unix_ms != after.starts_unix_ms
        return "fired" if began_again else "known"
    return "fired" if after.lasts else "ended"


def _cut(labels: Labels) -> Labels:
    return {name: value[:VALUE_CHARS_MAX] for name, value in labels.items()}


def _unix_ms(moment: datetime.datetime) -> int:
    """0 for what lies before 1970: Alertmanager writes "not yet" as the year 1."""
    return max(0, int(moment.timestamp() * 1_000))


def _external(state: PlanState) -> int:
    return sum(b'"origin":"external"' in item.value for item in state.all_items(keys.ALERTS))


OPERATIONS: Final = (
    Change(
        name="alert.receive",
        summary="Take alerts as Alertmanager sends them to a webhook.",
        request=ReceiveRequest,
        result=AlertsReceived,
        route=Route(method="POST", path="/v1/alerts/alertmanager"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=of_group,
        plan=plan_receive,
        errors=("too_many_alerts",),
        heeds_freeze=False,
    ),
)
