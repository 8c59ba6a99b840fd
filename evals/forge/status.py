"""What a Forge's live view shows: one reading of the cluster, and the load of the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from evals.forge.cluster_api import ForecastRow
from evals.forge.errors import ForgeFault
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.node import ForgeNode
from runtime.telemetry.histogram import Histogram

WINDOW_S: Final = 5
LOAD_LEAST: Final = 0.05  # calls a second; of less nobody wants to read


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """`state` is running, paused, joining or down; `active` counts its ACTIVE instances. `url` is empty while it
    joins."""

    name: str
    url: str
    state: str
    leads: bool
    active: int
    rps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    nodes: tuple[NodeStatus, ...]
    slices: tuple[tuple[str, int, int], ...]  # name, active, all
    troubles: tuple[str, ...]  # instances that say why they are not active
    rps: float
    p99_ms: float
    sent: int
    failed: int
    leader: str
    forecasts: tuple[ForecastRow, ...] = ()
    """Of the slices with load, or with load ahead."""


@dataclass(slots=True)
class LoadWindow:
    """The generator's last seconds, however often it is read."""

    generator: LoadGenerator
    now_s: Callable[[], float]
    _readings: deque[tuple[float, dict[str, int], Histogram]] = field(default_factory=deque)

    def read(self) -> tuple[dict[str, float], float]:
        """(requests a second by node, p99 in milliseconds) of the last `WINDOW_S`, or since the reading before."""
        report, now_s = self.generator.report, self.now_s()
        latest = Histogram(report.latency_us.counts, report.latency_us.sum)
        self._readings.append((now_s, dict(report.by_node), latest))
        while len(self._readings) > 2 and self._readings[0][0] < now_s - WINDOW_S:
            self._readings.popleft()
        began_s, nodes, histogram = self._readings[0]
        seconds = max(now_s - began_s, 1e-3)
        rps = {node: (count - nodes.get(node, 0)) / seconds for node, count in report.by_node.items()}
        return rps, latest.since(histogram).percentile(0.99) / 1000


def state_of(node: ForgeNode) -> str:
    if not node.joined:
        return "joining"
    return "down" if not node.running else "paused" if node.paused else "running"


async def read_status(forge: Forge, load: LoadWindow | None) -> Status:
    """A cluster that cannot be asked just now shows what is known without it."""
    rps, p99_ms = load.read() if load is not None else ({}, 0.0)
    try:
        leader = await forge.api.leader()
        instances = await forge.api.instances()
        forecasts = await forge.api.forecasts()
    except ForgeFault:
        leader, instances, forecasts = "", [], []
    nodes = tuple(
        NodeStatus(
            name=name,
            url=f"http://{node.addresses.http}" if node.joined else "",
            state=state_of(node),
            leads=name == leader,
            active=sum(row.node == name and row.serving for row in instances),
            rps=rps.get(name, 0.0),
        )
        for name, node in forge.nodes.items()
    )
    names = sorted({row.slice for row in instances})
    report = load.generator.report if load is not None else None
    return Status(
        nodes=nodes,
        slices=tuple(
            (
                name,
                sum(row.slice == name and row.serving for row in instances),
                sum(row.slice == name for row in instances),
            )
            for name in names
        ),
        troubles=tuple(f"{row.slice} on {row.node}: {row.phase}, {row.reason}" for row in instances if row.reason),
        rps=sum(rps.values()),
        p99_ms=p99_ms,
        sent=report.sent if report is not None else 0,
        failed=report.failed if report is not None else 0,
        leader=leader,
        forecasts=tuple(each for each in forecasts if each.now.rate or each.now.p90 >= LOAD_LEAST),
    )
