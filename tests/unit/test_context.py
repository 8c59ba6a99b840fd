"""The context of controllers: what is missing, absurd or of another time never looks like load."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.context.context import FORGOTTEN_S, ControlContext
from controllers.context.history import MinuteHistory
from controllers.context.history_file import Span
from controllers.context.minute import SliceMinute
from controllers.context.seconds import PEAK_CALLS, Elapsed, Plausible
from controllers.context.slice_load import HELD_S_MAX, STALE_S, SliceLoad
from controllers.context.snapshot import SliceContext
from runtime.consensus.store import KeyValue, Revision
from runtime.deployment.records import Records
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.sdk.testing import CollectedLog
from runtime.state import keys
from runtime.state.values import (
    Addresses,
    BlueprintSlice,
    Endpoint,
    InstanceAssignment,
    InstanceState,
    NodeLive,
    NodeRecord,
    Phase,
    SliceTarget,
    Value,
    encode,
)
from runtime.telemetry.desk import ClosedSecond
from runtime.telemetry.facts import Fact
from runtime.telemetry.figures import NodeFigures, SliceFigures, VersionFigures, together

DAY_S = 86_400
NOW_S = 20_000 * DAY_S
SLO_MS = 500.0


class State:
    """What the store says."""

    def __init__(self) -> None:
        self.revision = Revision(1)
        self._items: dict[str, KeyValue] = {}

    def put(self, key: str, value: Value) -> None:
        self.revision = Revision(self.revision + 1)
        self._items[key] = KeyValue(
            key=key,
            value=encode(value),
            create_revision=self.revision,
            mod_revision=self.revision,
            version=1,
            lease=None,
        )

    def delete(self, prefix: str) -> None:
        self.revision = Revision(self.revision + 1)
        self._items = {key: item for key, item in self._items.items() if not key.startswith(prefix)}

    def get(self, key: str) -> KeyValue | None:
        return self._items.get(key)

    def items(self, prefix: str) -> list[KeyValue]:
        return [item for key, item in sorted(self._items.items()) if key.startswith(prefix)]

    def add_node(self, name: str) -> None:
        at = Addresses(http="h:1", api="h:2", peer="h:3", control="h:4")
        self.put(keys.node(NodeId(name)), NodeRecord(node=NodeId(name), role="core", addresses=at))
        self.put(keys.node_live(NodeId(name)), NodeLive(boot="b", started_unix_ms=1, cpu_count=4, memory_bytes=8 << 30))

    def wants(self, name: str, *, version: str = "1", wanted: int = 2, serving_on: tuple[str, ...] = ()) -> None:
        settings = BlueprintSlice(
            slice=SliceName(name), version=Version(version), artifact="a==1", instances=2, min=1, max=9, min_available=1
        )
        target = SliceTarget(blueprint=BlueprintId("b"), settings=settings, artifact_sha256=Sha256("s"), wanted=wanted)
        self.put(keys.target(SliceName(name), Version(version)), target)
        for node in serving_on:
            self.serve(settings, node)

    def serve(self, settings: BlueprintSlice, node: str) -> None:
        where = (NodeId(node), settings.slice, 1)
        known: dict[str, object] = {"slice": settings.slice, "number": 1, "version": settings.version}
        self.put(
            keys.instance(*where),
            InstanceAssignment(**known, artifact_sha256=Sha256("s"), settings=settings, generation=1),  # type: ignore[arg-type]
        )
        self.put(
            keys.instance_state(*where),
            InstanceState(**known, node=NodeId(node), phase=Phase.ACTIVE, since_unix_ms=1, generation=1),  # type: ignore[arg-type]
        )
        self.put(keys.endpoint(settings.slice, NodeId(node), 1), Endpoint(**known, node=NodeId(node)))  # type: ignore[arg-type]


def load_of(calls: int, *, version: str = "1", cpu_s: float = 0.2, took_ms: int = 10) -> SliceFigures:
    each = VersionFigures(calls=calls, busy_us=calls * took_ms * 1_000, instances=1, slots=10, cpu_s=cpu_s)
    return SliceFigures(
        calls=calls, instances=1, buckets={200: calls} if calls else {}, busy_us=each.busy_us, cpu_s=cpu_s,
        versions={version: each},
    )  # fmt: skip


class World:
    """A context, and the seconds that it is told."""

    def __init__(self, directory: Path) -> None:
        self.log = CollectedLog()
        self.state = State()
        self.slo_ms = SLO_MS
        self.history = MinuteHistory(directory / "history", days=14, bytes_max=1 << 26, log=self.log)
        self.context = ControlContext(
            records=Records(self.state),
            revision=lambda: self.state.revision,
            history=self.history,
            slo_p95_ms=lambda _: self.slo_ms,
            log=self.log,
        )
        self.at_s = NOW_S
        for node in ("n1", "n2"):
            self.state.add_node(node)

    def tell(self, seconds: int = 1, **nodes: dict[str, SliceFigures]) -> None:
        """nodes: what each node tells of its slices; one that is not named is silent."""
        for _ in range(seconds):
            told = tuple(NodeFigures(node=node, at_s=self.at_s, slices=slices) for node, slices in nodes.items())
            names = {name for node in told for name in node.slices}
            slices = {name: together([node.slices[name] for node in told if name in node.slices]) for name in names}
            self.context.take(ClosedSecond(at_s=self.at_s, slices=slices, nodes=told))
            self.at_s += 1

    def of(self, name: str) -> SliceContext:
        return self.context.snapshot().slices[name]

    @property
    def minutes(self) -> list[SliceMinute]:
        return [each for _, minutes in self.history._pending for each in minutes]

    @property
    def warnings(self) -> list[str]:
        return [line.event for line in self.log.lines]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_snapshot_has_what_is_wanted_what_serves_and_what_it_carries(world: World) -> None:
    world.state.wants("tea", wanted=3, serving_on=("n1", "n2"))
    world.tell(120, n1={"tea": load_of(10)}, n2={"tea": load_of(10)})
    tea, nodes = world.of("tea"), world.context.snapshot().nodes
    assert tea.rate == pytest.approx(20.0)
    assert (tea.serving, tea.starting, tea.budget, tea.is_deploying) == (2, 0, 1, True)
    assert tea.capacity.rate_per_instance == pytest.approx(50.0, rel=0.1)  # 10 calls use a fifth of a core
    assert tea.latency_p95_ms is not None
    assert [(each.node, each.cpu_count, each.instances) for each in nodes] == [("n1", 4, 1), ("n2", 4, 1)]
    assert tea.missing == ""


def test_a_node_that_tells_nothing_makes_its_slices_unknown_not_idle(world: World) -> None:
    """A controller that takes silence for calm scales in at the worst moment."""
    world.state.wants("tea", serving_on=("n1", "n2"))
    world.state.wants("milk", serving_on=("n1",))
    world.tell(60, n1={"tea": load_of(10), "milk": load_of(3)}, n2={"tea": load_of(10)})
    world.tell(STALE_S + 1, n1={"tea": load_of(10), "milk": load_of(3)})
    assert (world.of("tea").rate, world.of("tea").figures, world.of("tea").latency_p95_ms) == (None, None, None)
    assert world.of("tea").missing == "a node that serves it tells nothing"
    assert world.of("milk").rate == pytest.approx(3.0)
    assert world.context.snapshot().silent == ("n2",)
    assert world.warnings == ["slice_load_missing"]
    world.tell(1, n1={"tea": load_of(10)}, n2={"tea": load_of(10)})
    assert world.of("tea").rate == pytest.approx(20.0)


def test_a_slice_without_instances_is_idle_while_all_nodes_tell(world: World) -> None:
    world.state.wants("tea", wanted=0)
    world.tell(90, n1={}, n2={})
    assert (world.of("tea").rate, world.of("tea").idle_s) == (0.0, 90.0)
    world.tell(STALE_S + 1, n1={})
    assert world.of("tea").rate is None


def test_a_minute_is_told_once_it_is_over(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(61, n1={"tea": load_of(10)}, n2={})
    (minute,) = world.minutes
    assert (minute.slice, minute.version, minute.minute, minute.invocations) == ("tea", "1", NOW_S // 60, 600.0)


def test_a_minute_of_which_most_was_missed_is_not_told(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(29, n1={"tea": load_of(10)}, n2={})
    world.tell(40, n2={})
    assert world.minutes == []


@pytest.mark.parametrize("jump_s", [-2 * DAY_S, -120, 120, 400 * DAY_S])
def test_a_clock_that_jumps_makes_no_load_and_no_minute_of_what_was_not(world: World, jump_s: int) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(120, n1={"tea": load_of(10)}, n2={})
    world.at_s += jump_s
    world.tell(121, n1={"tea": load_of(10)}, n2={})
    assert world.of("tea").rate == pytest.approx(10.0)
    assert {round(each.invocations) for each in world.minutes} == {600}
    assert len(world.minutes) == 4


def test_one_absurd_second_is_neither_load_nor_history(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(30, n1={"tea": load_of(10)}, n2={})
    world.tell(1, n1={"tea": load_of(10_000)}, n2={})
    assert world.of("tea").rate == pytest.approx(10.0)
    world.tell(30, n1={"tea": load_of(10)}, n2={})
    assert world.of("tea").rate == pytest.approx(10.0)
    assert [round(each.invocations) for each in world.minutes] == [600]
    assert world.warnings == ["slice_load_missing"]


def test_a_crowd_that_stays_is_believed_within_seconds(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(30, n1={"tea": load_of(10)}, n2={})
    world.tell(4, n1={"tea": load_of(10_000)}, n2={})
    rate = world.of("tea").rate
    assert rate is not None
    assert rate > 900


def test_figures_that_are_no_numbers_harm_nothing(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    bad = SliceFigures(
        calls=10, instances=1, cpu_s=math.nan, loop_lag_ms=math.nan, gc_pause_ms=math.inf, busy_us=-5,
        versions={"1": VersionFigures(calls=10, instances=1, cpu_s=math.nan, slots=10, busy_us=-5)},
    )  # fmt: skip
    world.tell(61, n1={"tea": bad}, n2={})
    (minute,) = world.minutes
    row = minute.row()
    assert not any(math.isinf(value) or value < 0 for value in row)
    assert (minute.invocations, world.of("tea").rate) == (600.0, 10.0)


def test_a_renamed_slice_begins_anew_and_the_old_name_is_forgotten(world: World) -> None:
    world.state.wants("old", serving_on=("n1",))
    world.tell(120, n1={"old": load_of(10)}, n2={})
    world.state.delete("slice-target/old")
    world.state.delete("instance")
    world.state.delete("endpoint")
    world.state.wants("new", serving_on=("n1",))
    world.tell(1, n1={"new": load_of(7)}, n2={})
    assert set(world.context.snapshot().slices) == {"new"}
    assert (world.of("new").rate, world.of("new").capacity.samples) == (7.0, 0.0)
    for _ in range(FORGOTTEN_S // 5 + 1):
        world.at_s += 4
        world.tell(1, n1={"new": load_of(7)}, n2={})
    assert set(world.context._loads) == {"new"}


def test_a_new_version_begins_with_what_the_old_one_carried_and_learns_its_own(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(300, n1={"tea": load_of(10, cpu_s=0.1)}, n2={})
    old = world.of("tea").capacity
    world.state.delete("slice-target/tea")
    world.state.wants("tea", version="2", serving_on=("n1",))
    begins = world.of("tea").capacity
    assert begins.rate_per_instance == old.rate_per_instance == pytest.approx(100.0, rel=0.1)
    assert begins.high / begins.low > 10
    world.tell(1, n1={"tea": load_of(10, version="2", cpu_s=0.4)}, n2={})
    assert world.of("tea").capacity == begins
    world.tell(60, n1={"tea": load_of(10, version="2", cpu_s=0.4)}, n2={})
    assert world.of("tea").capacity.rate_per_instance == pytest.approx(25.0, rel=0.15)


def test_a_bound_that_is_changed_counts_from_then_on(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(60, n1={"tea": load_of(10)}, n2={})
    assert world.of("tea").capacity.busy_max is None
    world.slo_ms = 0.001
    world.state.wants("tea", wanted=3)
    world.tell(60, n1={"tea": load_of(10)}, n2={})
    assert world.of("tea").capacity.busy_max is not None


async def facts(*slices: str) -> AsyncIterator[Fact]:
    for number, name in enumerate(slices):
        yield Fact(id=f"{number}.0", event="InstanceFailed", data={"slice": name})
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_events_are_counted_to_their_slices_and_shown(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    world.tell(61, n1={"tea": load_of(1)}, n2={})
    await world.context._follow(facts("tea", "milk"))
    world.tell(60, n1={"tea": load_of(1)}, n2={})
    await world.context._follow(facts("tea", "milk", "tea"))
    world.tell(60, n1={"tea": load_of(1)}, n2={})
    counts = [each.event_count for each in world.minutes]
    assert [math.isnan(count) for count in counts] == [True, True, False]
    assert counts[-1] == 2.0
    assert len(world.context.snapshot().events) == 5


@pytest.mark.anyio
async def test_a_day_ago_is_looked_up_each_minute(world: World) -> None:
    world.state.wants("tea", serving_on=("n1",))
    minute = NOW_S // 60 - 1_440
    rates = {minute - 2: 80.0, minute - 1: 40.0, minute: 90.0, minute + 1: 120.0, minute + 2: 30.0}
    past = [SliceMinute(slice="tea", version="1", minute=at, invocations=rate) for at, rate in rates.items()]
    await world.history.ask(lambda file: file.append(past))
    async with anyio.create_task_group() as tasks:
        world.tell(1, n1={"tea": load_of(1)}, n2={})
        tasks.start_soon(world.context._look_back)
        with anyio.fail_after(5):
            while world.of("tea").day_ago_ratio is None:  # noqa: ASYNC110  a thread looks it up
                await anyio.sleep(0.002)
        tasks.cancel_scope.cancel()
    assert world.of("tea").day_ago_ratio == pytest.approx(2.0)
    assert (await world.history.load([Span("tea", minute, 1)]))[0][0] == 90.0


@pytest.mark.anyio
async def test_what_an_instance_carries_is_known_after_a_restart_of_control(tmp_path: Path) -> None:
    """Else each restart of a leader would scale by nothing, or by a guess, until it had learnt again."""
    worlds = World(tmp_path), World(tmp_path)
    for world in worlds:
        world.state.wants("tea", serving_on=("n1",))
    before, after = worlds
    before.tell(120, n1={"tea": load_of(10)}, n2={})
    await before.context._capacities.keep(NOW_S // 60 + 2, before.context._loads)
    await after.context._capacities.read()
    after.tell(1, n1={"tea": load_of(0)}, n2={})
    known = after.of("tea").capacity
    assert known.rate_per_instance == pytest.approx(50.0, rel=0.1)
    assert known.samples > 0
    after.state.wants("tea", serving_on=("n1",), version="2")
    renewed = after.context._loads["tea"].capacity("2")
    assert (renewed.rate_per_instance, renewed.samples) == (known.rate_per_instance, 0.0)
    assert renewed.high > known.high, "another version may carry something else"


# -- seconds -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(10**9), 10**9), max_size=50))
def test_no_clock_makes_a_look_cover_nothing_or_minutes(times: list[int]) -> None:
    elapsed = Elapsed()
    assert all(1 <= elapsed.take(at_s) <= 5 for at_s in times)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=200))
def test_what_stays_is_believed_whatever_it_is(calls: list[int]) -> None:
    """The filter may hold a second back, never a load."""
    plausible, doubted = Plausible(), 0
    for each in calls:
        doubted = 0 if plausible.believes(each, 1) else doubted + 1
        assert doubted <= 3
        assert each > PEAK_CALLS or not doubted


@given(st.lists(st.integers(1, HELD_S_MAX), max_size=8), st.integers(1, 100))
def test_gaps_do_not_change_the_signals_of_a_steady_load(gaps: list[int], calls: int) -> None:
    load = SliceLoad()
    for gap in gaps:
        load.take(load_of(calls), 1, {"1": 1}, SLO_MS)
        load.miss(gap)
    load.take(load_of(calls), 1, {"1": 1}, SLO_MS)
    assert load.rate == pytest.approx(calls)
    assert load.signals.features()[:4] == pytest.approx((0.0, 0.0, 0.0, 0.0), abs=1e-3)


def test_a_gap_is_time_that_passed_and_a_long_one_a_new_beginning() -> None:
    """Slopes compare what lies a known time apart: without the gap, a slow rise would look like a jump."""
    load = SliceLoad()
    for _ in range(600 - HELD_S_MAX):
        load.take(load_of(10), 1, {}, SLO_MS)
    load.miss(HELD_S_MAX)
    assert not load.signals.is_warm
    load.take(load_of(10), 1, {}, SLO_MS)
    assert load.signals.is_warm
    load.miss(HELD_S_MAX + 1)
    load.take(load_of(50), 1, {}, SLO_MS)
    assert (load.signals.is_warm, load.rate) == (False, 50.0)
