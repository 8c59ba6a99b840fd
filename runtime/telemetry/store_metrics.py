"""The store's figures as Prometheus metrics; docs/reference/store-metrics.md says what each means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from runtime.consensus.figures import Durations, StoreFigures
from runtime.telemetry.buckets import cumulative

_COUNTERS: Final = {  # attribute: (metric without its prefix, what it counts)
    "elections": ("elections", "Elections that this member began"),
    "leader_changes": ("leader_changes", "Changes of the leader that this member knows of, to none included"),
    "quorum_losses": ("quorum_losses", "Times that this member led and a majority stopped answering"),
    "snapshots_written": ("snapshots_written", "Snapshots that this member wrote"),
    "snapshots_installed": ("snapshots_installed", "Snapshots that this member took from the leader"),
}
_GAUGES: Final = {
    "term": ("term", "The term this member is in"),
    "leads": ("leading", "1 on the member that leads"),
    "has_leader": ("leader_known", "1 while this member hears a leader"),
    "commit_index": ("commit_index_entries", "Last entry known to be on a majority's disks"),
    "applied_index": ("applied_index_entries", "Last entry that is in this member's state"),
    "log_bytes": ("log_bytes", "The log on disk"),
    "log_entries": ("log_entries", "Entries of the log that are kept"),
    "snapshot_index": ("snapshot_index_entries", "Last entry that the newest snapshot includes"),
    "snapshot_bytes": ("snapshot_bytes", "The newest snapshot on disk"),
    "snapshot_age_s": ("snapshot_age_seconds", "Since the newest snapshot was written or installed"),
    "pending_proposals": ("pending_proposals", "Changes that wait for a majority"),
    "held_promises": ("held_promises", "Messages to members that wait for this member's disk"),
    "watchers": ("watchers", "Open watches"),
    "sessions": ("sessions", "Client sessions that are remembered"),
    "leases": ("leases", "Leases that run"),
    "keys": ("keys", "Keys of the newest revision"),
    "history_revisions": ("history_revisions", "Revisions that a watch can go back"),
}


def store_metrics(figures: StoreFigures) -> Iterator[Metric]:
    yield _durations("commit_duration_seconds", "From a change's arrival at the leader until applied", figures.commit)
    yield _durations("fsync_duration_seconds", "Syncs of the log to disk", figures.fsync)
    for attribute, (name, text) in _COUNTERS.items():
        counter = CounterMetricFamily(f"runtime_store_{name}", text)
        counter.add_metric([], getattr(figures, attribute))
        yield counter
    for attribute, (name, text) in _GAUGES.items():
        yield _gauge(name, text, [((), float(getattr(figures, attribute)))])
    written = [((), figures.snapshot_ms / 1_000)]
    yield _gauge("snapshot_duration_seconds", "How long the last snapshot was written, beside the work", written)
    yield _gauge("state_bytes", "Keys and values", [((), figures.state.used)])
    yield _gauge("state_limit_bytes", "What keys and values may take", [((), figures.state.limit)])
    lag = [((member,), float(entries)) for member, entries in figures.lag_entries.items()]
    yield _gauge("lag_entries", "Entries that a member is behind, as the leader knows", lag, "member")
    used = [((kind,), float(fill.used)) for kind, fill in figures.quotas.items()]
    yield _gauge("quota_used_bytes", "Of the fullest part of that kind of key", used, "kind")
    limits = [((kind,), float(fill.limit)) for kind, fill in figures.quotas.items()]
    yield _gauge("quota_limit_bytes", "What a part of that kind of key may take", limits, "kind")


def _gauge(name: str, text: str, values: Sequence[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    gauge = GaugeMetricFamily(f"runtime_store_{name}", text, labels=labels)
    for at, value in values:
        gauge.add_metric(list(at), value)
    return gauge


def _durations(name: str, text: str, seen: Durations) -> Metric:
    histogram = HistogramMetricFamily(f"runtime_store_{name}", text)
    histogram.add_metric([], cumulative(seen.buckets), seen.sum_us / 1e6)
    return histogram
