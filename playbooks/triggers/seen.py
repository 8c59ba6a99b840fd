"""Alerts as triggers see them: those that last and that nothing mutes."""

from __future__ import annotations

from playbooks.triggers.decide import SeenAlert
from runtime.deployment.records import Snapshot
from runtime.state import keys
from runtime.telemetry.alerts.kept import alerts, named
from runtime.telemetry.alerts.muting import muted
from runtime.telemetry.alerts.records import Alert, Silence


def seen_alerts(state: Snapshot, now_unix_ms: int) -> list[SeenAlert]:
    """A silence also keeps playbooks from starting, and so does somebody who has taken the alert on; what a graver
    alert explains starts nothing of its own."""
    found = [kept.alert for kept in alerts(state)]
    quiet = muted(found, named(state, keys.ALERT_SILENCES, Silence), now_unix_ms)
    return [_seen(each, is_quiet=each.fingerprint in quiet) for each in found if each.lasts]


def _seen(alert: Alert, *, is_quiet: bool) -> SeenAlert:
    return SeenAlert(
        key=alert.fingerprint,
        group_key=alert.group_key,
        since_unix_ms=alert.starts_unix_ms,
        labels=alert.labels,
        annotations=alert.annotations,
        value=alert.value,
        bound=alert.bound,
        silenced=is_quiet or alert.acknowledged is not None,
    )
