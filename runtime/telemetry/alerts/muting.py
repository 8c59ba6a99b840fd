"""Which alerts are told to nobody for now, and why: silenced by people, or implied by a graver one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from runtime.telemetry.alerts.builtin import NODE_UNRESPONSIVE
from runtime.telemetry.alerts.labels import fits
from runtime.telemetry.alerts.records import Alert, Silence

SLICES: Final = "slices"
"""Annotation of an alert on a node: what it hosted when the alert began."""
TOGETHER_MS: Final = 300_000
"""A slice's alert that begins this long after its node's is one of its own: its instances have been moved by then."""


def muted(alerts: Iterable[Alert], silences: Mapping[str, Silence], now_unix_ms: int) -> dict[str, str]:
    """By fingerprint, why: "silence:ID" or "alert:FINGERPRINT"."""
    lasting = [alert for alert in alerts if alert.lasts]
    valid = {name: each for name, each in silences.items() if each.until_unix_ms > now_unix_ms}
    by_subject, nodes = _graver(lasting)
    found: dict[str, str] = {}
    for alert in lasting:
        silence = next((name for name, each in sorted(valid.items()) if fits(each.matchers, alert.labels)), "")
        if silence:
            found[alert.fingerprint] = f"silence:{silence}"
            continue
        likely = (*by_subject.get(alert.subject, ()), *nodes)
        graver = next((each for each in likely if inhibits(each, alert)), None)
        if graver is not None:
            found[alert.fingerprint] = f"alert:{graver.fingerprint}"
    return found


def _graver(lasting: Iterable[Alert]) -> tuple[dict[str, list[Alert]], list[Alert]]:
    """Those that may inhibit others, by their subject, and those on nodes that do not answer: of thousands of alerts
    only these are held against each other."""
    by_subject: dict[str, list[Alert]] = {}
    nodes = []
    for alert in lasting:
        if alert.origin == "rule" and alert.severity == "critical":
            by_subject.setdefault(alert.subject, []).append(alert)
            if alert.labels.get("alertname") == NODE_UNRESPONSIVE:
                nodes.append(alert)
    return by_subject, nodes


def inhibits(graver: Alert, other: Alert) -> bool:
    """A critical alert says all that warnings of its subject would; a node that does not answer explains what fails of
    the slices that it hosted. Only critical ones inhibit, and only others, so no two inhibit each other for the first
    reason; for the second a node never inhibits a node."""
    if graver.origin != "rule" or graver.severity != "critical" or graver.fingerprint == other.fingerprint:
        return False
    if other.severity == "warning" and graver.subject and graver.subject == other.subject:
        return True
    if graver.labels.get("alertname") != NODE_UNRESPONSIVE:
        return False
    node = graver.labels.get("node", "")
    if other.subject == f"store:{node}":
        return True
    hosted = graver.annotations.get(SLICES, "").split(",")
    together = abs(other.starts_unix_ms - graver.starts_unix_ms) <= TOGETHER_MS
    return together and other.subject.startswith("slice:") and other.labels.get("slice", "") in hosted
