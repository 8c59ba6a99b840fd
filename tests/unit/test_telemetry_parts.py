"""Telemetry: histograms merge and bound their error, windows forget in time, facts are equal everywhere."""

from __future__ import annotations

import asyncio
import json
import math
import tracemalloc
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.consensus.errors import Compacted
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import NOW, Delete, Put, RangeResult, Revision, WatchBatch
from runtime.invocation.context import CallContext, current
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.state import keys
from runtime.state.values import (
    BlueprintSlice,
    Endpoint,
    InstanceState,
    NodeLive,
    Phase,
    SliceTarget,
    encode,
)
from runtime.telemetry import lines
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.fact_log import FactLog
from runtime.telemetry.facts import facts_of, order_of
from runtime.telemetry.histogram import Histogram, bucket_of, upper_bound
from runtime.telemetry.log import Secret, open_log
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.segments import SegmentWriter
from runtime.telemetry.spans import SpanWriter
from runtime.telemetry.windows import COARSE_S, SERIES, WINDOW_S, Ring, Window, merged

durations = st.lists(st.integers(0, 10**9), min_size=1, max_size=200)


class StillClock:
    def __init__(self, unix_ms: int = 1_000_000) -> None:
        self.now_ms = unix_ms

    def unix_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1_000


@given(st.integers(0, 2**40 - 1))
def test_a_bucket_holds_its_value_to_a_sixteenth(value: int) -> None:
    upper = upper_bound(bucket_of(value))
    assert value <= upper <= value * 17 / 16
    assert bucket_of(upper) == bucket_of(value)


@given(durations, durations)
def test_merged_histograms_are_the_histogram_of_both(one: list[int], other: list[int]) -> None:
    both, first, second = Histogram(), Histogram(), Histogram()
    for value in one:
        first.record(value)
        both.record(value)
    for value in other:
        second.record(value)
        both.record(value)
    first.merge(second)
    assert (first.counts, first.sum) == (both.counts, both.sum)
    assert both.since(second).count == len(one)


@given(durations, st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_right_to_a_sixteenth(values: list[int], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    assert exact <= histogram.percentile(share) <= exact * 17 / 16


@given(durations)
def test_the_recorder_and_the_histogram_count_alike(values: list[int]) -> None:
    """The recorder writes the bucket rule out for speed; the two must not drift apart."""
    recorder, histogram = Recorder().method("a", "1", "b"), Histogram()
    for value in values:
        recorder.record(value, "ok")
        histogram.record(value)
    assert recorder.buckets == histogram.counts


def test_rejected_calls_count_without_a_duration() -> None:
    recorder = Recorder().method("a", "1", "b")
    recorder.record(7, "rejected")
    assert (recorder.rejected, recorder.buckets) == (1, {})


def test_a_full_window_stays_within_its_memory() -> None:
    """All of it: the rings, and what Python keeps around them and for the seconds that are being gathered."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    window = Window()
    for second in range(0, WINDOW_S, 7):
        window.put(second, dict.fromkeys(SERIES, second / 3))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert window.nbytes < after - before <= 60_000


def test_a_window_keeps_seconds_and_sums_tens_of_seconds() -> None:
    window = Window()
    for second in range(100, 131):
        window.put(second, {"calls": 2.0, "p99_ms": 5.0})
    assert window.fine(3)["calls"] == [2.0, 2.0, 2.0]
    assert window.coarse(2)["calls"] == [20.0, 20.0]
    assert window.coarse(1)["p99_ms"] == [5.0]
    assert math.isnan(window.fine(1)["p50_ms"][0])


def test_seconds_that_nobody_recorded_are_missing_not_zero() -> None:
    """Zero would tell a controller that there is no load."""
    window = Window()
    window.put(10 * COARSE_S, {"calls": 1.0})
    window.put(10 * COARSE_S + 3, {"calls": 1.0})
    assert [math.isnan(value) for value in window.fine(4)["calls"]] == [False, True, True, False]


def test_copies_of_a_window_fill_each_others_gaps() -> None:
    """A node that began later, or was cut off, must not show a hole where the others saw load."""
    old, young = Window(), Window()
    for second in range(1_000, 1_030):
        old.put(second, {"calls": 4.0, "p99_ms": 5.0})
    for second in range(1_025, 1_032):
        young.put(second, {"calls": 3.0, "p99_ms": 6.0})
    both = merged([young.copy(), old.copy()])
    assert (both.fine_at, both.fine["calls"][-8:]) == (1_031, [4.0] * 6 + [3.0] * 2)
    assert both.fine["p99_ms"][-8:] == [5.0] + [6.0] * 7
    assert both.coarse["calls"][-3:] == [40.0, 40.0, 15.0]


SETTINGS = BlueprintSlice(slice=SliceName("tea"), version=Version("1"), artifact="tea==1", instances=1, min=1, max=3)


def target(wanted: int) -> bytes:
    return encode(
        SliceTarget(blueprint=BlueprintId("b"), settings=SETTINGS, artifact_sha256=Sha256("s"), wanted=wanted)
    )


def state(phase: Phase) -> bytes:
    return encode(
        InstanceState(
            slice=SliceName("tea"),
            node=NodeId("n1"),
            number=1,
            version=Version("1"),
            phase=phase,
            reason="boom" if phase is Phase.FAILED else "",
            since_unix_ms=1,
            generation=1,
        )
    )


async def story() -> list[WatchBatch]:
    """A small history, as a store's watch tells it."""
    store = MemoryStore()
    live = encode(NodeLive(boot="x", started_unix_ms=1))
    endpoint = encode(Endpoint(slice=SliceName("tea"), version=Version("1"), node=NodeId("n1"), number=1))
    tea_target, tea_state = "slice-target/tea/1", "instance-state/n1/tea/1"
    for operations in (
        [Put(key=keys.node_live(NodeId("n1")), value=live)],
        [Put(key=tea_target, value=target(1)), Put(key="unrelated", value=b"")],
        [Put(key=tea_state, value=state(Phase.LOADING))],
        [Put(key=tea_state, value=state(Phase.FAILED))],
        [Put(key=tea_target, value=target(3)), Put(key="endpoint/tea/n1/1", value=endpoint)],
        [Delete(key=keys.node_live(NodeId("n1"))), Delete(key="endpoint/tea/n1/1")],
    ):
        await store.txn([], operations)
    return store.engine.machine.history.since("", Revision(1))


@pytest.mark.anyio
async def test_facts_tell_the_story_with_ids_that_order_it() -> None:
    log = FactLog()
    for batch in await story():
        log.take(batch)
    facts = log.after("", 100)
    assert [fact.event for fact in facts] == [
        "LeaderChanged",
        "NodeJoined",
        "SliceDeployed",
        "InstanceFailed",
        "SliceScaled",
        "SliceActivated",
        "NodeLeft",
        "SliceDeactivated",
    ]
    assert facts[3].data["reason"] == "boom"
    assert facts[4].data == {"slice": "tea", "version": "1", "before": 1, "wanted": 3}
    assert [order_of(fact.id) for fact in facts] == sorted(order_of(fact.id) for fact in facts)
    assert log.after(facts[3].id, 2) == facts[4:6]


@pytest.mark.anyio
async def test_every_node_derives_the_same_facts() -> None:
    batches = await story()
    logs = [FactLog(), FactLog()]
    for log in logs:
        for batch in batches:
            log.take(batch)
    assert logs[0].after("", 100) == logs[1].after("", 100)


async def fill(log: FactLog, store: MemoryStore) -> None:
    """Until the log has taken everything that the store has."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.run, store, ("slice-target/",))
        while log.taken_until < store.engine.machine.revision:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


async def scale(store: MemoryStore, *wanted: int) -> None:
    for count in wanted:
        await store.txn([], [Put(key="slice-target/tea/1", value=target(count))])


@pytest.mark.anyio
async def test_a_log_that_begins_later_has_the_same_facts() -> None:
    """A control that restarts, or a node that joins, must go on from an id that another node gave."""
    store, early, late = MemoryStore(), FactLog(), FactLog()
    await fill(early, store)
    await scale(store, 1, 2, 3)
    await fill(early, store)
    await fill(late, store)
    assert late.after("1.0", 10) == early.after("1.0", 10) != []
    assert late.is_complete_after(early.after("", 10)[0].id)


class BeginsEmpty(MemoryStore):
    """Answers its first question as a store that has just started and not applied its log yet."""

    _asked = False

    async def range(
        self, prefix: str, *, after: str = "", limit: int = 1, at_revision: Revision = NOW, stale_ok: bool = False
    ) -> RangeResult:
        if not self._asked:
            self._asked = True
            return RangeResult(items=(), revision=Revision(0), more=False)
        return await super().range(prefix, after=after, limit=limit, at_revision=at_revision, stale_ok=stale_ok)


@pytest.mark.anyio
async def test_a_log_that_begins_before_its_store_has_caught_up_misses_nothing() -> None:
    """Control and store of a node start together; what the store applied meanwhile was never told."""
    store, log = BeginsEmpty(), FactLog()
    await scale(store, 1, 2, 3)
    await fill(log, store)
    assert [fact.data["wanted"] for fact in log.after("1.0", 10)] == [1, 2, 3]


@pytest.mark.anyio
async def test_a_log_that_was_away_goes_on_where_it_stopped() -> None:
    store, log = MemoryStore(), FactLog()
    await fill(log, store)
    for count in (1, 2, 3):
        await scale(store, count)
        await fill(log, store)
    assert [fact.data["wanted"] for fact in log.after("1.0", 10)] == [1, 2, 3]


@pytest.mark.anyio
async def test_what_the_store_forgot_is_said_to_be_missing() -> None:
    store, log = MemoryStore(), FactLog()
    await fill(log, store)
    await scale(store, 1)
    await fill(log, store)
    (first,) = log.after("", 10)
    stream = log.follow(first.id)
    await scale(store, 2, 3, 4)
    await store.compact((await store.status()).revision)
    with pytest.raises(Compacted):
        await log.run(store, ("slice-target/",))
    await fill(log, store)
    await scale(store, 5)
    await fill(log, store)
    assert not log.is_complete_after(first.id)
    assert [(await anext(stream)).event for _ in range(2)] == ["Reset", "SliceScaled"]
    assert log.after(first.id, 10)[0].data == {"slice": "tea", "version": "1", "before": 4, "wanted": 5}


TOLD_OF = (
    *(
        "node/",
        "slice-target/tea/",
        "instance/n/s/",
        "endpoint/a/b/",
        "proposal/",
        "alert/",
        "alert-silence/",
        "alert-told/",
        "alert-trouble/",
        "config/cluster/",
    ),
    *("principal/", "api-key/", "freeze/", "incident/", "store-backup/", "run/", "run-step/r/"),
)


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(0, 12), st.integers(-5, 70))
def test_a_ring_gives_each_step_that_it_has_and_no_other(steps: list[int], count: int, until: int) -> None:
    ring, newest = Ring(1, 10), -1
    kept: dict[int, float] = {}
    for step in steps:
        ring.put(step, float(step))
        newest = max(newest, step)
        kept[step] = float(step)
    for end in (newest, until):
        wanted = range(end - min(count, 10) + 1, end + 1)
        known = {step: value for step, value in kept.items() if newest - 10 < step <= newest}
        found = ring.newest(count, until=end)
        assert [None if value != value else value for value in found] == [known.get(step) for step in wanted]  # noqa: PLR0124


@given(st.binary(max_size=60), st.sampled_from(TOLD_OF))
def test_values_that_cannot_be_read_make_no_fact_raise(raw: bytes, prefix: str) -> None:
    store = MemoryStore()
    asyncio.run(store.txn([], [Put(key=f"{prefix}1", value=raw)]))
    (batch,) = store.engine.machine.history.since(prefix, Revision(1))
    facts_of(batch, lambda _key: raw)


def test_log_lines_carry_the_call_and_never_a_secret(tmp_path: Path) -> None:
    log = open_log(tmp_path, "test", node="n1", level="info", clock=StillClock())
    token = current.set(CallContext(deadline=0, trace_id=b"t" * 16, span_id=b"s" * 8, request_id="req-1"))
    log.info("key_used", key=Secret("canary"), count=3)
    current.reset(token)
    log.debug("not_at_this_level")
    log.set_level("debug")
    log.debug("at_this_level")
    log.close()
    (path,) = tmp_path.glob("*.jsonl")
    first, changed, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["event"], first["request_id"], first["key"], first["count"]) == ("key_used", "req-1", "***", 3)
    assert (changed["event"], changed["to"]) == ("log_level_changed", "debug")
    assert second["event"] == "at_this_level"
    assert "canary" not in path.read_text()


def test_a_disk_that_takes_nothing_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = SegmentWriter(tmp_path / "file", "x")
    writer.write(b"line\n")
    writer.flush()
    assert writer.dropped == 1


def test_only_slow_failed_and_sampled_calls_leave_a_span(tmp_path: Path) -> None:
    spans = SpanWriter(SegmentWriter(tmp_path, "w"), node="n1", process="w", clock=StillClock())
    plain = CallContext(deadline=0, trace_id=b"t" * 16, span_id=b"s" * 8)
    sampled = CallContext(deadline=0, trace_id=b"t" * 16, span_id=b"s" * 8, sampled=True)
    spans.record(plain, "quick", 10, failed=False)
    spans.record(plain, "slow", 600_000, failed=False)
    spans.record(plain, "failed", 10, failed=True)
    spans.record(sampled, "sampled", 10, failed=False)
    spans.close()
    found = lines.find(tmp_path, lines.query_of({}))
    assert sorted(str(span["name"]) for span in found) == ["failed", "sampled", "slow"]


def test_one_new_trace_in_a_hundred_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    firsts = iter(range(256))
    monkeypatch.setattr("runtime.invocation.context._Entropy.take", lambda _self, count: bytes([next(firsts)]) * count)
    sampled = sum(CallContext.root(0).sampled for _ in range(256))
    assert sampled / 256 == pytest.approx(0.01, abs=0.002)


def test_the_exposition_is_what_prometheus_reads() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    recorder = Recorder()
    recorder.method("tea", "1", "brew").record(3_000, "ok")
    text = Exposition(lambda: (recorder.report("w-1"),), lambda: None).text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    buckets = {
        sample.labels["le"]: sample.value
        for sample in families["runtime_call_duration_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert (buckets["0.0025"], buckets["0.005"], buckets["+Inf"]) == (0.0, 1.0, 1.0)
    assert {sample.value for sample in families["runtime_calls"].samples if sample.labels.get("outcome") == "ok"} == {
        1.0
    }
