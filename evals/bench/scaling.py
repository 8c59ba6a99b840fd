"""One tick of scaling over many slices: everything between a second's figures and its decisions."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from typing import Final

import anyio
import msgspec

from controllers.context.context import ControlContext
from controllers.context.minute import SliceMinute
from controllers.scaling.boosted import open_boosted
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.model import QUANTILES, Forecast
from controllers.scaling.records import DecisionOutcome, DecisionRecord, Due, Oddity
from controllers.scaling.tree import default_tree
from runtime.clock import SystemClock
from runtime.consensus.store import KeyValue, Revision
from runtime.deployment.records import Records
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.operations.dispatch import Outcome, Refused, Submission
from runtime.state import keys
from runtime.state.values import (
    Addresses,
    BlueprintSlice,
    Endpoint,
    InstanceAssignment,
    NodeLive,
    NodeRecord,
    SliceTarget,
    Value,
    encode,
)
from runtime.telemetry.desk import ClosedSecond
from runtime.telemetry.figures import NodeFigures, SliceFigures, VersionFigures

SLICES: Final = 200
NODES: Final = 5
INSTANCES: Final = 4
WARM_UP_S: Final = 650  # longer than the rules' window: afterwards every slice asks the tree
NOW_S: Final = 1_700_000_000
NOWHERE: Final = Addresses(http="", api="", peer="", control="")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """tick_cpu_ms: without the time in which others had the core, so that it says something on a busy machine too.
    core_pct: of one core, on average, at one tick a second."""

    slices: int
    ticks: int
    tick_ms_p50: float
    tick_ms_p99: float
    tick_cpu_ms_p50: float
    tick_cpu_ms_p99: float
    core_pct: float


def measure(*, ticks: int, slices: int = SLICES) -> Result:
    """Every slice has a forecast and a load that wavers; nothing is submitted."""
    world = _World(slices)
    gc.collect()
    gc.freeze()  # as control does before it leads
    for at in range(WARM_UP_S):
        world.second(at)
    took_ms, cpu_ms = [], []
    for at in range(WARM_UP_S, WARM_UP_S + ticks):
        began, cpu_began = time.perf_counter(), time.thread_time()
        world.second(at)
        cpu_ms.append((time.thread_time() - cpu_began) * 1_000)
        took_ms.append((time.perf_counter() - began) * 1_000)
    return Result(
        slices=slices,
        ticks=ticks,
        tick_ms_p50=_percentile(took_ms, 0.5),
        tick_ms_p99=_percentile(took_ms, 0.99),
        tick_cpu_ms_p50=_percentile(cpu_ms, 0.5),
        tick_cpu_ms_p99=_percentile(cpu_ms, 0.99),
        core_pct=round(sum(cpu_ms) / ticks / 10, 3),
    )


def _percentile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 3)


class _State:
    """What a cache would hold, and never changes."""

    revision = changed_at = Revision(1)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._items = {
            key: KeyValue(
                key=key, value=encode(value), create_revision=Revision(1), mod_revision=Revision(1), version=1
            )
            for key, value in values.items()
        }

    def get(self, key: str) -> KeyValue | None:
        return self._items.get(key)

    def items(self, prefix: str) -> list[KeyValue]:
        return [item for key, item in sorted(self._items.items()) if key.startswith(prefix)]


class _Steady:
    """A forecast that expects what is there, give or take a quarter."""

    def forecast(self, slice_name: str) -> Forecast:
        rates = tuple(300.0 * (0.75 + 0.5 * quantile) for quantile in QUANTILES)
        return Forecast(soon=rates, later=rates)


class _Nothing:
    """A gate, a journal, a history and a log in one: asked, and nothing comes of it."""

    async def submit(self, _submission: Submission) -> Outcome:
        return Refused(code="refused_by_policy", detail="")

    async def open(self) -> None: ...

    async def write(self, record: DecisionRecord, fence: int) -> None: ...

    def due(self, now_unix_ms: int) -> list[Due]:
        return []

    async def add_outcome(self, due: Due, outcome: DecisionOutcome, fence: int) -> None: ...

    async def hold(self, slice_name: str, why: str, fence: int) -> None: ...

    async def resume(self, slice_name: str, fence: int) -> None: ...

    async def note(self, odd: Oddity, fence: int) -> None: ...

    def tell(self, minute: int, minutes: list[SliceMinute]) -> None: ...

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...


class _World:
    def __init__(self, slices: int) -> None:
        self._names = [f"slice-{number}" for number in range(slices)]
        state, nothing = _State(dict(_records(self._names))), _Nothing()
        records = Records(state)
        self._context = ControlContext(
            records=records,
            revision=lambda: 1,
            history=nothing,  # type: ignore[arg-type]  # only told
            slo_p95_ms=lambda _slice: 500.0,
            log=nothing,
        )
        self._loop = ScalingLoop(
            state=state,
            records=records,
            tree=default_tree(),
            loads=lambda: self._context.snapshot().slices,
            outlook=_Steady(),
            dispatcher=nothing,
            journal=nothing,
            clock=SystemClock(),
            new_id=lambda: "",
            log=nothing,
            boosted=open_boosted,
        )
        anyio.run(self._loop.prepare)

    def second(self, at_s: int) -> None:
        """What a leader does of it: the context takes the figures, and every slice is judged."""
        figures = {name: _figures(at_s, number) for number, name in enumerate(self._names)}
        nodes = tuple(NodeFigures(node=f"n{number}", at_s=at_s, slices=figures) for number in range(NODES))
        self._context.take(ClosedSecond(at_s=NOW_S + at_s, slices=figures, nodes=nodes))
        judged = self._loop.judge_all()
        assert at_s < WARM_UP_S or all(each.seen.features and not each.trouble for each in judged)


def _figures(at_s: int, number: int) -> SliceFigures:
    calls = 300 + (at_s * 7 + number * 13) % 40
    busy_us = calls * 20_000
    version = VersionFigures(
        calls=calls, busy_us=busy_us, instances=INSTANCES, in_progress=6, slots=40, cpu_s=calls * 0.002
    )
    return SliceFigures(
        calls=calls, instances=INSTANCES, buckets={300: calls}, busy_us=busy_us, versions={"1": version}
    )


def _records(names: list[str]) -> Iterator[tuple[str, Value]]:
    for number in range(NODES):
        node = NodeId(f"n{number}")
        yield keys.node(node), NodeRecord(node=node, role="core", addresses=NOWHERE)
        yield keys.node_live(node), NodeLive(boot="b", started_unix_ms=0)
    for each in names:
        yield from _slice(SliceName(each))


def _slice(name: SliceName) -> Iterator[tuple[str, Value]]:
    version, artifact = Version("1"), Sha256("s")
    settings = BlueprintSlice(slice=name, version=version, artifact="a==1", instances=INSTANCES, min=1, max=50)
    yield (
        keys.target(name, version),
        SliceTarget(blueprint=BlueprintId("b"), settings=settings, artifact_sha256=artifact, wanted=INSTANCES),
    )
    for number in range(INSTANCES):
        node = NodeId(f"n{number % NODES}")
        yield (
            keys.instance(node, name, number),
            InstanceAssignment(
                slice=name, number=number, version=version, artifact_sha256=artifact, settings=settings, generation=1
            ),
        )
        yield keys.endpoint(name, node, number), Endpoint(slice=name, version=version, node=node, number=number)
