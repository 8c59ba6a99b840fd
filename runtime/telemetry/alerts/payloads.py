"""Notifications as receivers read them: Aether's JSON, Alertmanager's version 4, and a mail's text. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final, Literal

import msgspec

from runtime.telemetry.alerts.grouping import Notification
from runtime.telemetry.alerts.records import Alert, Labels

VERSION: Final = 1  # of Aether's own format; members are added, never changed
TOLD_MAX: Final = 100  # of one group; how many more there are is said
NOT_YET: Final = "0001-01-01T00:00:00Z"
SUBJECT_CHARS_MAX: Final = 150


class AlertTold(msgspec.Struct, frozen=True, kw_only=True):
    fingerprint: str
    status: Literal["firing", "ended"]
    origin: str
    labels: Labels
    annotations: Labels
    value: float
    bound: float
    starts_unix_ms: int
    ends_unix_ms: int
    acknowledged_by: str


class GroupTold(msgspec.Struct, frozen=True, kw_only=True):
    """`notification` is the same when the same is sent twice: who has it already need not act again."""

    version: int
    notification: str
    cluster: str
    receiver: str
    status: Literal["firing", "ended"]
    group_key: str
    group_labels: Labels
    alerts: tuple[AlertTold, ...]
    truncated_alerts: int


def aether_json(notification: Notification, cluster: str) -> bytes:
    shown = _shown(notification)
    return msgspec.json.encode(
        GroupTold(
            version=VERSION,
            notification=notification.key,
            cluster=cluster,
            receiver=notification.receiver,
            status="firing" if notification.firing else "ended",
            group_key=notification.group.key,
            group_labels=notification.group.labels,
            alerts=tuple(_told(each) for each in shown),
            truncated_alerts=_all(notification) - len(shown),
        )
    )


def _told(alert: Alert) -> AlertTold:
    return AlertTold(
        fingerprint=alert.fingerprint,
        status="firing" if alert.lasts else "ended",
        origin=alert.origin,
        labels=alert.labels,
        annotations=alert.annotations,
        value=alert.value,
        bound=alert.bound,
        starts_unix_ms=alert.starts_unix_ms,
        ends_unix_ms=alert.ends_unix_ms,
        acknowledged_by=alert.acknowledged.by if alert.acknowledged is not None else "",
    )


def alertmanager_json(notification: Notification, external_url: str) -> bytes:
    """The body that Alertmanager's webhook receivers take (its documentation, "webhook_config", version 4)."""
    shown = _shown(notification)
    document = {
        "version": "4",
        "groupKey": notification.group.key,
        "truncatedAlerts": _all(notification) - len(shown),
        "status": "firing" if notification.firing else "resolved",
        "receiver": notification.receiver,
        "groupLabels": notification.group.labels,
        "commonLabels": _common([each.labels for each in shown]),
        "commonAnnotations": _common([each.annotations for each in shown]),
        "externalURL": external_url,
        "alerts": [
            {
                "status": "firing" if each.lasts else "resolved",
                "labels": each.labels,
                "annotations": each.annotations,
                "startsAt": _moment(each.starts_unix_ms),
                "endsAt": NOT_YET if each.lasts else _moment(each.ends_unix_ms),
                "generatorURL": external_url,
                "fingerprint": each.fingerprint,
            }
            for each in shown
        ],
    }
    return msgspec.json.encode(document)


def mail(notification: Notification, *, cluster: str, sender: str, to: Sequence[str]) -> EmailMessage:
    """Message-ID comes of the notification's key, so that a mail that is sent twice is one to a mail program."""
    message = EmailMessage()
    message["Subject"] = _plain(subject_of(notification))[:SUBJECT_CHARS_MAX]
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Message-ID"] = f"<{notification.key}@aether>"
    message["X-Aether-Notification"] = notification.key
    message["X-Aether-Group"] = _plain(notification.group.key)
    message["Auto-Submitted"] = "auto-generated"
    shown = _shown(notification)
    lines = [f"cluster {cluster}", "", *(line for alert in shown for line in _lines(alert))]
    more = _all(notification) - len(shown)
    if more:
        lines.append(f"and {more} more: aether alert list")
    message.set_content("\n".join(lines) + "\n")
    return message


def subject_of(notification: Notification) -> str:
    worst = "critical" if any(each.severity == "critical" for each in notification.firing) else "warning"
    title = notification.group.labels.get("alertname") or "alerts"
    subjects = sorted({_about(each) for each in _shown(notification)})
    about = ", ".join(subjects[:3]) + (f" and {len(subjects) - 3} more" if len(subjects) > 3 else "")
    return f"[{worst if notification.firing else 'ended'}] {title}: {about}"


def _about(alert: Alert) -> str:
    """Alerts from outside have an `instance`, by custom of Prometheus."""
    return alert.subject or alert.labels.get("instance") or alert.fingerprint


def _lines(alert: Alert) -> list[str]:
    title = "lasting" if alert.lasts else "ended"
    found = [
        f"{title}: {alert.labels.get('alertname', '')} ({alert.severity or 'no severity'}) {_about(alert)}",
        *(f"  {name}: {value}" for name, value in sorted(alert.annotations.items()) if value),
        f"  since {_moment(alert.starts_unix_ms)}",
    ]
    if not alert.lasts:
        found.append(f"  until {_moment(alert.ends_unix_ms)}")
    return [*found, f"  aether alert show {alert.fingerprint}", ""]


def _shown(notification: Notification) -> tuple[Alert, ...]:
    return (*notification.firing, *notification.ended)[:TOLD_MAX]


def _all(notification: Notification) -> int:
    return len(notification.firing) + len(notification.ended)


def _common(parts: Sequence[Labels]) -> Labels:
    if not parts:
        return {}
    first, *others = parts
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in others)}


def _moment(unix_ms: int) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    when = datetime.datetime.fromtimestamp(unix_ms / 1_000, datetime.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{unix_ms % 1_000:03}Z"


def _plain(text: str) -> str:
    """One line: a label that came from outside must not add headers."""
    return " ".join(text.split())
