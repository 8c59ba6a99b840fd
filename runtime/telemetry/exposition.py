"""Prometheus exposition of this node's newest reports, through prometheus_client with a collector of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.telemetry.histogram import upper_bound
from runtime.telemetry.report import MethodReport, ProcessReport

BOUNDS_US: Final = (
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
)
_METHOD: Final = ["process", "slice", "version", "method"]


class ReportCollector(Collector):
    """Labels come from contracts and process ids of this node: a closed set."""

    def __init__(self, node: str, reports: Callable[[], tuple[ProcessReport, ...]]) -> None:
        self._node = node
        self._reports = reports

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
                durations.add_metric(labels, _buckets(method), method.sum_us / 1e6)
        yield calls
        yield durations


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


def _buckets(method: MethodReport) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them; a fine bucket counts where its upper bound lies."""
    found, total = [], 0
    ordered = sorted(method.buckets.items())
    at = 0
    for bound in BOUNDS_US:
        while at < len(ordered) and upper_bound(ordered[at][0]) <= bound:
            total += ordered[at][1]
            at += 1
        found.append((str(bound / 1e6), float(total)))
    found.append(("+Inf", float(sum(method.buckets.values()))))
    return found


class Exposition:
    def __init__(self, node: str, reports: Callable[[], tuple[ProcessReport, ...]]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ReportCollector(node, reports))

    def text(self) -> bytes:
        return generate_latest(self._registry)
