"""The context of every controller: kept on each core node from its own picture of the cluster, so that any may lead."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import anyio

from controllers.context.errors import HistoryAway
from controllers.context.history import MinuteHistory
from controllers.context.history_file import Span
from controllers.context.minute import MINUTE_S, MinuteGatherer
from controllers.context.remembering import CapacityMemory
from controllers.context.seconds import Elapsed
from controllers.context.slice_load import SliceLoad
from controllers.context.snapshot import ContextSnapshot, NodeContext, SliceContext
from controllers.context.topology import Topology
from controllers.scaling.signals import AHEAD_MINUTES, BEFORE_MINUTES, day_ago_ratio
from runtime.cluster.membership import Lines
from runtime.deployment.records import Records
from runtime.telemetry.desk import ClosedSecond
from runtime.telemetry.facts import Fact
from runtime.telemetry.figures import NodeFigures, SliceFigures

SLICES_MAX: Final = 1_000  # about 22 kB each; more than that are not scaled by this cluster, and a log line says so
FORGOTTEN_S: Final = 7_200  # a slice that was neither wanted nor on a node for so long is gone
EVENTS_MAX: Final = 100
DAY_MINUTES: Final = 1_440
CPU_KEEP: Final = math.exp(
    -1.0 / 30.0
)  # of the CPU that a node used before, each second: one busy second fills no node


class ControlContext:
    """`take` is given every second, `run` follows events and looks a day back each minute, `snapshot` is what
    controllers read. All on one loop; constant work a second and slice."""

    def __init__(
        self,
        *,
        records: Records,
        revision: Callable[[], int],
        history: MinuteHistory,
        slo_p95_ms: Callable[[str], float],
        log: Lines,
    ) -> None:
        """slo_p95_ms: the bound of each slice's latency as of `revision`, to learn how busy its instances may be."""
        self._records = records
        self._revision = revision
        self._history = history
        self._slo_p95_ms = slo_p95_ms
        self._log = log
        self._capacities = CapacityMemory(history)
        self._elapsed = Elapsed()
        self._loads: dict[str, SliceLoad] = {}
        self._reasons: dict[str, str] = {}
        self._minute = -1
        self._minute_began = anyio.Event()
        self._day_ago: dict[str, float] = {}
        self._events: deque[Fact] = deque(maxlen=EVENTS_MAX)
        self._follows_events = False
        self._topology: tuple[int, Topology] | None = None
        self._slos_ms: dict[str, float] = {}  # of the topology's revision
        self._at_s = 0
        self._nodes: tuple[NodeFigures, ...] = ()
        self._cores: dict[str, float] = {}  # of CPU that nodes use, smoothed
        self._is_over_limit = False

    # -- each second ---------------------------------------------------------------------------------------------------

    def take(self, second: ClosedSecond) -> None:
        """Never raises: telemetry goes on whatever controllers make of it."""
        covers_s = self._elapsed.take(second.at_s)
        self._at_s, self._nodes = second.at_s, second.nodes
        self._cores = {
            node.node: self._cores.get(node.node, node.cpu_share) * CPU_KEEP + node.cpu_share * (1.0 - CPU_KEEP)
            for node in second.nodes
        }
        if second.at_s // MINUTE_S != self._minute:
            self._close_minute(second.at_s // MINUTE_S)
        topology = self._now()
        silent = topology.live - {node.node for node in second.nodes}
        hosts = _hosts(second.nodes)
        for name in {*self._loads, *second.slices, *topology.versions}:
            load = self._load(name)
            if load is None:
                continue
            if name not in second.slices and name not in topology.versions:
                self._forget(name, load, covers_s)
            elif topology.hosting.get(name, set()) & silent or (silent and name not in second.slices):
                self._miss(name, load, covers_s, "a node that serves it tells nothing")
            else:
                self._take(name, load, second.slices.get(name, SliceFigures()), covers_s, hosts.get(name, {}))

    def _take(self, name: str, load: SliceLoad, figures: SliceFigures, covers_s: int, hosts: Mapping[str, int]) -> None:
        load.unseen_s = 0
        if doubt := load.take(figures, covers_s, hosts, self._slo_ms(name)):
            self._say_missing(name, doubt)
        else:
            self._reasons.pop(name, None)

    def _slo_ms(self, name: str) -> float:
        known = self._slos_ms.get(name)
        if known is None:
            known = self._slos_ms[name] = self._slo_p95_ms(name)
        return known

    def _miss(self, name: str, load: SliceLoad, covers_s: int, why: str) -> None:
        load.miss(covers_s)
        self._say_missing(name, why)

    def _say_missing(self, name: str, why: str) -> None:
        """Once, when it begins."""
        if name not in self._reasons:
            self._log.warning("slice_load_missing", slice=name, reason=why)
        self._reasons[name] = why

    def _load(self, name: str) -> SliceLoad | None:
        known = self._loads.get(name)
        if known is None and len(self._loads) < SLICES_MAX:
            known = self._loads[name] = SliceLoad()
            self._capacities.resume(name, known, self._minute)
        elif known is None and not self._is_over_limit:
            self._is_over_limit = True
            self._log.warning("slices_beyond_limit", slice=name, limit=SLICES_MAX)
        return known

    def _forget(self, name: str, load: SliceLoad, covers_s: int) -> None:
        load.miss(covers_s)
        load.unseen_s += covers_s
        if load.unseen_s > FORGOTTEN_S:
            del self._loads[name]
            self._reasons.pop(name, None)
            self._day_ago.pop(name, None)

    def _close_minute(self, begins: int) -> None:
        found = []
        for name, load in self._loads.items():
            minute = load.gatherer.minute(name, self._minute)
            if minute is not None:
                found.append(minute)
            load.gatherer = MinuteGatherer()
            load.gatherer.events = 0.0 if self._follows_events else math.nan
        if found:
            self._history.tell(self._minute, found)
        self._minute = begins
        self._minute_began.set()

    def _now(self) -> Topology:
        revision = self._revision()
        if self._topology is None or self._topology[0] != revision:
            self._topology = (revision, Topology(self._records))
            self._slos_ms.clear()
        return self._topology[1]

    # -- beside it -----------------------------------------------------------------------------------------------------

    async def run(self, events: AsyncIterator[Fact]) -> None:
        await self._capacities.read()
        for name, load in self._loads.items():  # of what was heard meanwhile
            self._capacities.resume(name, load, self._minute)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, events)
            tasks.start_soon(self._look_back)

    async def _follow(self, events: AsyncIterator[Fact]) -> None:
        """Counts what happens to each slice. What is told at first may be long past: counting begins a minute later."""
        async for fact in events:
            self._follows_events = True
            self._events.append(fact)
            load = self._loads.get(str(fact.data.get("slice", "")))
            if load is not None:
                load.gatherer.events += 1.0

    async def _look_back(self) -> None:
        while True:
            await self._minute_began.wait()
            self._minute_began = anyio.Event()
            first = self._minute - DAY_MINUTES - BEFORE_MINUTES
            names = list(self._loads)
            try:
                await self._capacities.keep(self._minute, self._loads)
                found = await self._history.load([Span(name, first, BEFORE_MINUTES + AHEAD_MINUTES) for name in names])
            except HistoryAway:
                self._day_ago = {}
                continue
            ratios = {name: day_ago_ratio(values) for name, values in zip(names, found, strict=True)}
            self._day_ago = {name: ratio for name, ratio in ratios.items() if ratio is not None}

    # -- what controllers read -----------------------------------------------------------------------------------------

    def day_ago(self, slice_name: str) -> float | None:
        """How the load went on in these minutes a day ago, as a part of what it was then."""
        return self._day_ago.get(slice_name)

    def snapshot(self) -> ContextSnapshot:
        """As of the newest second."""
        topology = self._now()
        nodes = topology.nodes(self._nodes, self._cores)
        return ContextSnapshot(
            at_s=self._at_s,
            revision=self._revision(),
            slices={name: self._slice(name, topology, nodes) for name in topology.versions if name in self._loads},
            nodes=nodes,
            silent=tuple(node.node for node in nodes if node.cpu_cores is None),
            events=tuple(self._events),
        )

    def _slice(self, name: str, topology: Topology, nodes: tuple[NodeContext, ...]) -> SliceContext:
        load, versions = self._loads[name], topology.versions[name]
        main = max(versions, key=lambda each: (each.wanted, each.version))
        serving = sum(each.serving for each in versions)
        figures = load.figures if load.is_known else None
        return SliceContext(
            slice=name,
            version=main.version,
            versions=versions,
            is_deploying=len(versions) > 1 or not main.is_settled,
            serving=serving,
            starting=sum(each.starting for each in versions),
            rate=load.rate,
            signals=load.signals,
            latency_p95_ms=load.latency_p95_ms,
            waiting=float(figures.waiting + max(figures.rejected, figures.refused)) if figures is not None else 0.0,
            idle_s=load.idle_s,
            budget=max(0, serving - main.min_available),
            capacity=load.capacity(main.version),
            figures=figures,
            day_ago_ratio=self._day_ago.get(name),
            missing="" if load.is_known else self._reasons.get(name, "nothing was told of it yet"),
            nodes=nodes,
            doubted=load.doubted,
        )


def _hosts(nodes: tuple[NodeFigures, ...]) -> dict[str, dict[str, int]]:
    """In how many processes each version of each slice serves."""
    found: dict[str, dict[str, int]] = {}
    for node in nodes:
        for name, figures in node.slices.items():
            hosts = found.setdefault(name, {})
            for version, each in figures.versions.items():
                if each.instances > 0:
                    hosts[version] = hosts.get(version, 0) + 1
    return found
