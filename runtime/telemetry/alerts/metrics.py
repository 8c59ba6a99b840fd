"""Every metric that a rule may watch, by the kind of subject that has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

SubjectKind = Literal["slice", "node", "store", "cluster"]

SELDOM_S: Final = 15
"""Between two looks at a figure that costs a walk over a window: with 200 slices, 13 of them each second."""


class Metric(NamedTuple):
    """`each_s`: seconds between looks. `highest`: what the figure can never pass, where there is such a value."""

    summary: str
    each_s: int = 1
    highest: float | None = None


METRICS: Final[Mapping[SubjectKind, Mapping[str, Metric]]] = {
    "slice": {
        "errors_share": Metric("failed calls, as a part of all of the last 10 s", highest=1.0),
        "p50_ms": Metric("median duration of a call, in ms"),
        "p95_ms": Metric("95th percentile of durations, in ms"),
        "p99_ms": Metric("99th percentile of durations, in ms"),
        "p95_vs_slo": Metric("p95_ms over the objective that scaling has (slo_p95_ms)"),
        "rejected": Metric("calls that were turned away, a second"),
        "failed": Metric("instances that failed"),
        "missing": Metric("serving instances fewer than the slice's lower bound"),
        "scaling_held": Metric("1 while figures of the slice cannot be used, so that it is not scaled", highest=1.0),
        "forecast_p95_vs_capacity": Metric("forecast load over what the wanted instances carry", SELDOM_S),
        "slo_burn_5m": Metric("errors over what slo_availability allows, of 5 minutes", SELDOM_S),
        "slo_burn_30m": Metric("the same of 30 minutes", SELDOM_S),
        "slo_burn_1h": Metric("the same of an hour", SELDOM_S),
        "slo_burn_2h": Metric("the same of two hours", SELDOM_S),
        "slo_burn_6h": Metric(
            "the same of six hours, as if nothing had failed in minutes of which nothing is known", SELDOM_S
        ),
        "slo_burn_3d": Metric("the same of three days, likewise", SELDOM_S),
    },
    "node": {
        "unresponsive": Metric(
            "1 while it does not answer; 0.5 while it may be starting for the first time",
            highest=1.0,
        ),
        "memory_share": Metric("memory in use, as a part of the machine's", highest=1.0),
        "disk_share": Metric("disk in use where the node's data is, as a part", highest=1.0),
        "loop_lag_ms": Metric("worst lag of an event loop of the node's processes, in ms"),
        "silent_processes": Metric("processes of the node that run and answer nothing"),
        "certificate_left_days": Metric("until the node's certificate ends, in days"),
    },
    "store": {
        "silent": Metric("1 while the node's store answers nothing", highest=1.0),
        "fsync_p99_ms": Metric("99th percentile of syncs of the log since the last look, in ms"),
        "state_share": Metric("keys and values, as a part of what they may take", highest=1.0),
        "quota_share": Metric("the fullest kind of key, as a part of its quota", highest=1.0),
        "log_mib": Metric("the log on disk, in MiB"),
        "lag_entries": Metric("entries that the member is behind the leader"),
    },
    "cluster": {
        "quorum_margin": Metric("members of the store that may still fail before quorum is lost; unknown below three"),
        "backup_age_h": Metric("since the newest kept snapshot, or since the cluster began, in hours"),
    },
}
