"""The cluster's load as of the last second: gathered on each node, exchanged by the leader, never in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from runtime.telemetry.histogram import Histogram
from runtime.telemetry.report import MethodReport, ProcessReport
from runtime.telemetry.windows import WINDOW_S, Window, lately

FRONT: Final = "gateway"
"""The process whose counts are those of the HTTP front, not of executions."""
STALE_S: Final = 5
FIGURE_S: Final = 10


class SliceFigures(msgspec.Struct, frozen=True, array_like=True):
    """One slice on one node in one second. `buckets` are those of `histogram`, in microseconds."""

    calls: int = 0
    errors: int = 0
    rejected: int = 0
    instances: int = 0
    buckets: dict[int, int] = {}


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One node in one second. `cpu_share` is in cores; lags and pauses are the worst of its processes."""

    node: str
    at_s: int
    cpu_share: float = 0.0
    rss_bytes: int = 0
    loop_lag_ms: float = 0.0
    gc_pause_ms: float = 0.0
    connections: int = 0
    requests: int = 0
    slices: dict[str, SliceFigures] = {}


class NodeMeter:
    """Turns cumulative reports of this node's processes into figures of the last second."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._before: dict[str, ProcessReport] = {}
        self.reports: tuple[ProcessReport, ...] = ()

    def take(self, reports: tuple[ProcessReport, ...], instances: Mapping[str, int], at_s: int) -> NodeFigures:
        gathered: dict[str, list[MethodReport]] = {}
        cpu_s, requests = 0.0, 0
        for report in reports:
            before = self._before.get(report.process)
            if before is None or before.boot != report.boot:
                before = ProcessReport(process=report.process, boot=report.boot, pid=report.pid, cpu_s=report.cpu_s)
            cpu_s += report.cpu_s - before.cpu_s
            for delta in _deltas(before, report):
                if report.process == FRONT:
                    requests += delta.ok + delta.errors + delta.rejected
                else:
                    gathered.setdefault(delta.slice, []).append(delta)
        self._before = {report.process: report for report in reports}
        self.reports = reports
        return NodeFigures(
            node=self._node,
            at_s=at_s,
            cpu_share=cpu_s,
            rss_bytes=sum(report.rss_bytes for report in reports),
            loop_lag_ms=max((report.loop_lag_ms for report in reports), default=0.0),
            gc_pause_ms=max((report.gc_pause_ms for report in reports), default=0.0),
            connections=sum(report.connections for report in reports),
            requests=requests,
            slices={name: _figures(gathered.get(name, []), instances.get(name, 0)) for name in {*gathered, *instances}},
        )


def _deltas(before: ProcessReport, after: ProcessReport) -> list[MethodReport]:
    known = {(each.slice, each.version, each.method): each for each in before.methods}
    found = []
    for each in after.methods:
        old = known.get((each.slice, each.version, each.method))
        if old is None:
            found.append(each)
            continue
        buckets = Histogram(each.buckets).since(Histogram(old.buckets)).counts
        ok, errors, rejected = each.ok - old.ok, each.errors - old.errors, each.rejected - old.rejected
        if ok or errors or rejected:
            sums = each.sum_us - old.sum_us
            found.append(MethodReport(each.slice, each.version, each.method, ok, errors, rejected, sums, buckets))
    return found


def _figures(deltas: list[MethodReport], instances: int) -> SliceFigures:
    merged = Histogram()
    for delta in deltas:
        merged.merge(Histogram(delta.buckets))
    return SliceFigures(
        sum(each.ok + each.errors for each in deltas),
        sum(each.errors for each in deltas),
        sum(each.rejected for each in deltas),
        instances,
        merged.counts,
    )


class ClusterPicture:
    """What this node knows of all nodes; the leader's exchange keeps every node's equal but for the last second."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFigures] = {}
        self._windows: dict[str, Window] = {}
        self._seen_s: dict[str, int] = {}  # when each window's slice was last on a node

    def take(self, figures: NodeFigures) -> None:
        known = self._nodes.get(figures.node)
        if known is None or known.at_s <= figures.at_s:
            self._nodes[figures.node] = figures

    def nodes(self, now_s: int) -> tuple[NodeFigures, ...]:
        """Those heard of lately."""
        return tuple(each for each in self._nodes.values() if now_s - each.at_s <= STALE_S)

    def close_second(self, now_s: int) -> None:
        """Adds the second's merged figures to each slice's window; a window that shows nothing any more goes."""
        merged: dict[str, list[SliceFigures]] = {name: [] for name in self._windows}
        for node in self.nodes(now_s):
            for name, figures in node.slices.items():
                merged.setdefault(name, []).append(figures)
        for name, parts in merged.items():
            if parts:
                self._seen_s[name] = now_s
            elif now_s - self._seen_s[name] > WINDOW_S:
                del self._windows[name], self._seen_s[name]
                continue
            self._windows.setdefault(name, Window()).put(now_s, _row(parts))

    def figure(self, slice_name: str, metric: str) -> float | None:
        """One figure of a slice over the last seconds; None while nothing is known."""
        window = self._windows.get(slice_name)
        return lately(window.fine(FIGURE_S), metric) if window is not None else None

    def window(self, slice_name: str) -> Window | None:
        return self._windows.get(slice_name)

    def summary(self, now_s: int) -> dict[str, object]:
        """For people: load per node and per slice."""
        nodes = self.nodes(now_s)
        names = sorted({name for node in nodes for name in node.slices})
        return {
            "requests_per_s": sum(node.requests for node in nodes),
            "nodes": [
                {
                    "node": node.node,
                    "cpu_cores": round(node.cpu_share, 2),
                    "rss_mb": round(node.rss_bytes / 2**20, 1),
                    "loop_lag_ms": round(node.loop_lag_ms, 1),
                    "gc_pause_ms": round(node.gc_pause_ms, 1),
                    "connections": node.connections,
                    "requests_per_s": node.requests,
                }
                for node in sorted(nodes, key=lambda node: node.node)
            ],
            "slices": [
                {"slice": name, **_row([node.slices[name] for node in nodes if name in node.slices])} for name in names
            ],
        }


def _row(parts: list[SliceFigures]) -> dict[str, float]:
    merged = Histogram()
    for part in parts:
        merged.merge(Histogram(part.buckets))
    row: dict[str, float] = {
        "calls": sum(part.calls for part in parts),
        "errors": sum(part.errors for part in parts),
        "rejected": sum(part.rejected for part in parts),
        "instances": sum(part.instances for part in parts),
    }
    if merged.count:
        p50, p95, p99 = merged.percentiles((0.5, 0.95, 0.99))
        row |= {"p50_ms": p50 / 1_000, "p95_ms": p95 / 1_000, "p99_ms": p99 / 1_000}
    return row


encode: Final = msgspec.msgpack.Encoder().encode
decode_figures: Final = msgspec.msgpack.Decoder(NodeFigures).decode
decode_picture: Final = msgspec.msgpack.Decoder(tuple[NodeFigures, ...]).decode
