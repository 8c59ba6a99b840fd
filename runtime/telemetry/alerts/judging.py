"""When an alert begins and ends. Pure: figures, bounds and times in, decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from runtime.telemetry.alerts.figures import kind_of, name_of
from runtime.telemetry.alerts.labels import fingerprint_of, group_key_of
from runtime.telemetry.alerts.records import Alert, AlertRule, Direction, Labels, Severity
from runtime.telemetry.alerts.rules import NamedRule

SEVERITIES: Final[tuple[Severity, ...]] = ("warning", "critical")


class Streak(NamedTuple):
    """Since when figures are beyond the bound that counts, or are not."""

    beyond: bool
    since_unix_ms: int


def is_beyond(values: Sequence[float | None], bound: float, direction: Direction) -> bool:
    """Whether all are. What is not known is not beyond: a slice that nobody calls any more fails nobody."""
    if direction == "above":
        return all(value is not None and value > bound for value in values)
    return all(value is not None and value < bound for value in values)


def streak_of(
    before: Streak | None,
    rule: AlertRule,
    severity: Severity,
    values: Sequence[float | None],
    *,
    firing: bool,
    now_unix_ms: int,
) -> Streak:
    """While it fires, the bound of its end counts; else that of its beginning."""
    bound = rule.bound_of_end(severity) if firing else rule.bound(severity)
    beyond = bound is not None and is_beyond(values, bound, rule.direction)
    return before if before is not None and before.beyond == beyond else Streak(beyond, now_unix_ms)


def decide(streak: Streak, rule: AlertRule, *, firing: bool, now_unix_ms: int) -> Literal["fire", "end", ""]:
    if streak.beyond == firing:
        return ""
    lasted_ms = now_unix_ms - streak.since_unix_ms
    if streak.beyond:
        return "fire" if lasted_ms >= rule.for_s * 1_000 else ""
    return "end" if lasted_ms >= rule.ends_after_s * 1_000 else ""


def labels_of(named: NamedRule, severity: Severity, subject: str) -> Labels:
    kind = kind_of(subject)
    labels = {**named.rule.labels, "alertname": named.name, "severity": severity, "subject": subject}
    if kind != "cluster":
        labels["node" if kind == "store" else kind] = name_of(subject)
    return labels


def alert_of(
    named: NamedRule, severity: Severity, subject: str, value: float, *, since_unix_ms: int, now_unix_ms: int
) -> Alert:
    labels = labels_of(named, severity, subject)
    bound = named.rule.bound(severity)
    assert bound is not None, "only a level that has a bound fires"
    told = {"subject": subject, "value": f"{value:.3g}", "bound": f"{bound:g}"}
    annotations = {"summary": filled(named.rule.summary, told)} if named.rule.summary else {}
    return Alert(
        fingerprint=fingerprint_of(labels),
        group_key=group_key_of("", {"alertname": named.name}),
        labels=labels,
        annotations=annotations,
        starts_unix_ms=since_unix_ms,
        fired_unix_ms=now_unix_ms,
        value=value,
        bound=bound,
    )


def filled(text: str, told: Labels) -> str:
    """`{name}` becomes what is told of it; anything else in braces stays."""
    for name, value in told.items():
        text = text.replace(f"{{{name}}}", value)
    return text
