"""The cluster's load as of the last second: gathered on each node, exchanged by the leader, never in the store."""

from __future__ import annotations

from typing import Final

from runtime.telemetry.alerts.figures import kind_of, name_of
from runtime.telemetry.by_node import ByNode, NodeSeries
from runtime.telemetry.figures import NodeFigures, SliceFigures, StoreVitals, together
from runtime.telemetry.histogram import Histogram
from runtime.telemetry.windows import NODE_SERIES, WINDOW_S, Window, lately, names_of

STALE_S: Final = 5
FIGURE_S: Final = 10
MIB: Final = 2**20


class ClusterPicture:
    """What this node knows of all nodes; the leader's exchange keeps every node's equal but for the last second.

    Times are those of this node's clock: another node's may be wrong by any amount, and either may be set back.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFigures] = {}
        self._heard_s: dict[str, int] = {}
        self._closed_s = 0
        self._lately: dict[str, NodeFigures] = {}
        self._windows: dict[str, Window] = {}
        self._seen_s: dict[str, int] = {}  # when each window's slice was last on a node
        self._node_windows: dict[str, Window] = {}
        self._by_node = ByNode()
        self._stores_apart: dict[str, tuple[int, StoreVitals]] = {}

    def take(self, figures: NodeFigures, now_s: int) -> None:
        """Older figures than those known are late ones, unless they are much older: that node's clock was set back."""
        known = self._nodes.get(figures.node)
        if known is None or not known.at_s - STALE_S <= figures.at_s < known.at_s:
            self._nodes[figures.node] = figures
            self._heard_s[figures.node] = now_s

    def take_store(self, figures: NodeFigures, now_s: int) -> None:
        """Of a node that counts as down: of all that it tells, how its store is may be why. Nothing else is counted."""
        if figures.store is not None:
            self._stores_apart[figures.node] = (now_s, figures.store)

    def nodes(self, now_s: int) -> tuple[NodeFigures, ...]:
        """Those heard of lately."""
        return tuple(each for each in self._nodes.values() if abs(now_s - self._heard_s[each.node]) <= STALE_S)

    def close_second(self, now_s: int) -> dict[str, SliceFigures]:
        """Each slice's figures on all nodes, that were added to its window; a window that shows nothing any more
        goes. So do all when the clock was set back: seconds that are still to come would hide those that come."""
        if now_s < self._closed_s - STALE_S:
            self._windows.clear()
            self._seen_s.clear()
            self._node_windows.clear()
            self._by_node.clear()
        self._closed_s = now_s
        self._lately = {each.node: each for each in self.nodes(now_s)}
        self._close_nodes(now_s)
        closed: dict[str, SliceFigures] = {}
        merged: dict[str, list[SliceFigures]] = {name: [] for name in self._windows}
        for node in self._lately.values():
            for name, figures in node.slices.items():
                merged.setdefault(name, []).append(figures)
                self._by_node.put(now_s, name, node.node, figures)
        self._by_node.forget(now_s)
        for name, parts in merged.items():
            if parts:
                self._seen_s[name] = now_s
            elif now_s - self._seen_s[name] > WINDOW_S:
                del self._windows[name], self._seen_s[name]
                continue
            closed[name] = together(parts)
            self._windows.setdefault(name, Window()).put(now_s, _row(closed[name]))
        return closed

    def _close_nodes(self, now_s: int) -> None:
        """A node that told nothing for as long as its window reaches goes."""
        heard = {name: at_s for name, at_s in self._heard_s.items() if abs(now_s - at_s) <= WINDOW_S}
        self._node_windows = {name: window for name, window in self._node_windows.items() if name in heard}
        for name, figures in self._lately.items():
            self._node_windows.setdefault(name, Window(NODE_SERIES)).put(now_s, _node_row(figures))

    def figure(self, subject: str, metric: str) -> float | None:
        """One figure of a slice over the last seconds, or of a node or store as it last told; None while nothing is
        known."""
        match kind_of(subject):
            case "slice":
                window = self._windows.get(name_of(subject))
                return lately(window.fine(FIGURE_S, names_of(metric)), metric) if window is not None else None
            case "node":
                return _of_node(self._lately.get(name_of(subject)), metric)
            case "store":
                return self._of_store(name_of(subject), metric)
        return None

    def silent_s(self, node: str) -> int | None:
        """For how long nothing was heard of a node; None if nothing ever was."""
        heard = self._heard_s.get(node)
        return max(0, self._closed_s - heard) if heard is not None else None

    def store_members(self) -> frozenset[str]:
        """Of the consensus group, as the store that leads it last told; empty while that is not known."""
        told = [(each.node, each.store.lag_entries) for each in self._lately.values() if each.store is not None]
        return frozenset(name for leader, lag in told if lag for name in (leader, *lag))

    def _of_store(self, node: str, metric: str) -> float | None:
        if metric == "lag_entries":
            known = [each.store.lag_entries.get(node) for each in self._lately.values() if each.store is not None]
            return max((float(each) for each in known if each is not None), default=None)
        value = getattr(self._store_of(node), metric, None)
        return float(value) if isinstance(value, bool | int | float) else None

    def _store_of(self, node: str) -> StoreVitals | None:
        figures = self._lately.get(node)
        if figures is not None:
            return figures.store
        heard_s, store = self._stores_apart.get(node, (0, None))
        return store if abs(self._closed_s - heard_s) <= STALE_S else None

    def node_window(self, node: str) -> Window | None:
        return self._node_windows.get(node)

    def window(self, slice_name: str) -> Window | None:
        return self._windows.get(slice_name)

    def by_node(self, slice_name: str) -> dict[str, NodeSeries]:
        """One slice's figures of the last minute on each node."""
        return self._by_node.of(slice_name, self._closed_s)

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
                    "memory_share": node.machine.memory_share,
                    "disk_share": node.machine.disk_share,
                    "silent": list(node.silent),
                }
                for node in sorted(nodes, key=lambda node: node.node)
            ],
            "slices": [
                {"slice": name, **_row(together([node.slices[name] for node in nodes if name in node.slices]))}
                for name in names
            ],
        }


def _of_node(figures: NodeFigures | None, metric: str) -> float | None:
    if figures is None:
        return None
    if metric == "silent_processes":
        return float(len(figures.silent))
    value = figures.loop_lag_ms if metric == "loop_lag_ms" else getattr(figures.machine, metric, None)
    return float(value) if isinstance(value, int | float) else None


def _node_row(figures: NodeFigures) -> dict[str, float]:
    return {
        "cpu_cores": figures.cpu_share,
        "memory_mib": figures.rss_bytes / MIB,
        "loop_lag_ms": figures.loop_lag_ms,
        "gc_pause_ms": figures.gc_pause_ms,
        "connections": figures.connections,
        "requests": figures.requests,
    }


def _row(figures: SliceFigures) -> dict[str, float]:
    """A call without a reply may be counted where it ran, too, once it ends there: what is told is what there is at
    least, so that none counts twice, and those of a process that hangs count at all."""
    uncounted = max(0, figures.lost - figures.errors)
    row: dict[str, float] = {
        "calls": figures.calls + uncounted,
        "errors": figures.errors + uncounted,
        "rejected": figures.rejected,
        "instances": figures.instances,
    }
    if figures.buckets:
        p50, p95, p99 = Histogram(figures.buckets).percentiles((0.5, 0.95, 0.99))
        row |= {"p50_ms": p50 / 1_000, "p95_ms": p95 / 1_000, "p99_ms": p99 / 1_000}
    if figures.rss_bytes and figures.instances:  # inline instances have no memory of their own
        row["instance_mb"] = figures.rss_bytes / figures.instances / MIB
    return row
