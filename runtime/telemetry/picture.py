"""The cluster's load as of the last second: gathered on each node, exchanged by the leader, never in the store."""

from __future__ import annotations

from typing import Final

from runtime.telemetry.figures import NodeFigures, SliceFigures, together
from runtime.telemetry.histogram import Histogram
from runtime.telemetry.windows import WINDOW_S, Window, lately

STALE_S: Final = 5
FIGURE_S: Final = 10


class ClusterPicture:
    """What this node knows of all nodes; the leader's exchange keeps every node's equal but for the last second.

    Times are those of this node's clock: another node's may be wrong by any amount, and either may be set back.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFigures] = {}
        self._heard_s: dict[str, int] = {}
        self._closed_s = 0
        self._windows: dict[str, Window] = {}
        self._seen_s: dict[str, int] = {}  # when each window's slice was last on a node

    def take(self, figures: NodeFigures, now_s: int) -> None:
        """Older figures than those known are late ones, unless they are much older: that node's clock was set back."""
        known = self._nodes.get(figures.node)
        if known is None or not known.at_s - STALE_S <= figures.at_s < known.at_s:
            self._nodes[figures.node] = figures
            self._heard_s[figures.node] = now_s

    def nodes(self, now_s: int) -> tuple[NodeFigures, ...]:
        """Those heard of lately."""
        return tuple(each for each in self._nodes.values() if abs(now_s - self._heard_s[each.node]) <= STALE_S)

    def close_second(self, now_s: int) -> dict[str, SliceFigures]:
        """Each slice's figures on all nodes, that were added to its window; a window that shows nothing any more
        goes. So do all when the clock was set back: seconds that are still to come would hide those that come."""
        if now_s < self._closed_s - STALE_S:
            self._windows.clear()
            self._seen_s.clear()
        self._closed_s = now_s
        closed: dict[str, SliceFigures] = {}
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
            closed[name] = together(parts)
            self._windows.setdefault(name, Window()).put(now_s, _row(closed[name]))
        return closed

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
                {"slice": name, **_row(together([node.slices[name] for node in nodes if name in node.slices]))}
                for name in names
            ],
        }


def _row(figures: SliceFigures) -> dict[str, float]:
    row: dict[str, float] = {
        "calls": figures.calls,
        "errors": figures.errors,
        "rejected": figures.rejected,
        "instances": figures.instances,
    }
    if figures.buckets:
        p50, p95, p99 = Histogram(figures.buckets).percentiles((0.5, 0.95, 0.99))
        row |= {"p50_ms": p50 / 1_000, "p95_ms": p95 / 1_000, "p99_ms": p99 / 1_000}
    return row
