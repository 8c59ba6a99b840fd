"""Prometheus exposition of this node's newest reports, through prometheus_client with a collector of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.consensus.figures import StoreFigures
from runtime.telemetry.buckets import cumulative
from runtime.telemetry.report import ProcessReport
from runtime.telemetry.store_metrics import store_metrics

_METHOD: Final = ["process", "slice", "version", "method"]


AlertCount = Mapping[tuple[str, str, str], int]
"""Alerts that last, by name, severity and origin."""
SendCount = Mapping[tuple[str, str], int]
"""Notifications since this process began, by receiver and outcome."""


class AlertSource(Protocol):
    def alert_counts(self) -> AlertCount: ...

    def send_counts(self) -> SendCount: ...


class ReportCollector(Collector):
    """Labels come from contracts and process ids of this node: a closed set."""

    def __init__(
        self,
        reports: Callable[[], tuple[ProcessReport, ...]],
        store: Callable[[], StoreFigures | None],
        alerts: Callable[[], AlertSource | None],
    ) -> None:
        self._reports = reports
        self._store = store
        self._alerts = alerts

    def collect(self) -> Iterator[Metric]:
        reports = self._reports()
        yield from _process_metrics(reports)
        calls = CounterMetricFamily("runtime_calls", "Calls by outcome", labels=[*_METHOD, "outcome"])
        durations = HistogramMetricFamily("runtime_call_duration_seconds", "Durations of calls", labels=_METHOD)
        for report in reports:
            for method in report.methods:
                labels = [report.process, method.slice, method.version, method.method]
                for outcome, count in (("ok", method.ok), ("error", method.errors), ("rejected", method.rejected)):
                    calls.add_metric([*labels, outcome], count)
                durations.add_metric(labels, cumulative(method.buckets), method.sum_us / 1e6)
        yield calls
        yield durations
        figures = self._store()
        if figures is not None:
            yield from store_metrics(figures)
        alerts = self._alerts()
        if alerts is not None:
            yield from _alert_metrics(alerts)


def _alert_metrics(source: AlertSource) -> Iterator[Metric]:
    """Names are those of rules, and of what other systems send: as many as people made."""
    lasting = GaugeMetricFamily(
        "runtime_alerts", "Alerts that last, as this node knows", labels=["alertname", "severity", "origin"]
    )
    for (name, severity, origin), count in sorted(source.alert_counts().items()):
        lasting.add_metric([name, severity, origin], count)
    sent = CounterMetricFamily(
        "runtime_alert_notifications", "Notifications that this node sent, as leader", labels=["receiver", "outcome"]
    )
    for (receiver, outcome), count in sorted(source.send_counts().items()):
        sent.add_metric([receiver, outcome], count)
    yield from (lasting, sent)


def _process_metrics(reports: tuple[ProcessReport, ...]) -> Iterator[Metric]:
    cpu = CounterMetricFamily("runtime_process_cpu_seconds", "CPU time", labels=["process"])
    rss = GaugeMetricFamily("runtime_process_resident_bytes", "Resident memory", labels=["process"])
    lag = GaugeMetricFamily("runtime_process_loop_lag_seconds", "Worst loop lag of the last second", labels=["process"])
    pause = GaugeMetricFamily(
        "runtime_process_gc_pause_seconds", "Worst collector pause of the last second", labels=["process"]
    )
    connections = GaugeMetricFamily("runtime_process_connections", "Open client connections", labels=["process"])
    for report in reports:
        cpu.add_metric([report.process], report.cpu_s)
        rss.add_metric([report.process], report.rss_bytes)
        lag.add_metric([report.process], report.loop_lag_ms / 1_000)
        pause.add_metric([report.process], report.gc_pause_ms / 1_000)
        connections.add_metric([report.process], report.connections)
    yield from (cpu, rss, lag, pause, connections)


class Exposition:
    """`store` gives the figures of the node's own store; None where there is none, or while it does not answer."""

    def __init__(
        self,
        reports: Callable[[], tuple[ProcessReport, ...]],
        store: Callable[[], StoreFigures | None],
        alerts: Callable[[], AlertSource | None] = lambda: None,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ReportCollector(reports, store, alerts))

    def text(self) -> bytes:
        return generate_latest(self._registry)
