"""From cumulative reports to seconds, and from nodes' seconds to the cluster's: nothing lost, nothing made up."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.figures import SliceFigures, StoreVitals, decode_figures, encode, together
from runtime.telemetry.meter import ABSENT_S_MAX, NodeMeter
from runtime.telemetry.picture import STALE_S, ClusterPicture
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.report import HostedLoad, MethodReport, ProcessReport
from runtime.telemetry.windows import NODE_SERIES, WINDOW_S


def report(process: str = "w-1", *, boot: str = "a", calls: int = 0, cpu_s: float = 0.0) -> ProcessReport:
    method = MethodReport("tea", "1", "brew", calls, 0, 0, calls * 1_000, {100: calls})
    hosted = (HostedLoad("tea", "1", 1, 0, 10),)
    return ProcessReport(process=process, boot=boot, pid=1, cpu_s=cpu_s, methods=(method,), hosted=hosted)


def calls_of(meter: NodeMeter, at_s: int, *reports: ProcessReport) -> int:
    figures = meter.take(reports, {}, at_s).slices.get("tea")
    return figures.calls if figures is not None else 0


def test_cumulative_reports_become_the_figures_of_a_second_even_over_a_restart() -> None:
    recorder, meter = Recorder(), NodeMeter("n1")
    method = recorder.method("tea", "1", "brew")
    for _ in range(5):
        method.record(1_000, "ok")
    meter.take((recorder.report("w-1"),), {"tea": 1}, 1)
    method.record(2_000, "error")
    second = meter.take((recorder.report("w-1"),), {"tea": 1}, 2)
    assert (second.slices["tea"].calls, second.slices["tea"].errors) == (1, 1)
    restarted = Recorder()
    restarted.method("tea", "1", "brew").record(500, "ok")
    third = meter.take((restarted.report("w-1"),), {"tea": 1}, 3)
    assert third.slices["tea"].calls == 1


def test_what_a_worker_did_before_control_began_is_not_the_load_of_one_second() -> None:
    """A control that restarts finds workers that have counted for days: a peak like that would scale everything out."""
    meter = NodeMeter("n1")
    assert calls_of(meter, 1, report(calls=1_000_000, cpu_s=5_000.0)) == 0
    assert calls_of(meter, 2, report(calls=1_000_007)) == 7


def test_a_worker_that_begins_later_counts_from_its_first_call() -> None:
    meter = NodeMeter("n1")
    calls_of(meter, 1, report("control"))
    assert calls_of(meter, 2, report("control"), report("w-2", calls=3)) == 3


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=60))
def test_a_worker_that_misses_questions_loses_no_call_and_counts_none_twice(seconds: list[tuple[int, bool]]) -> None:
    meter = NodeMeter("n1")
    calls_of(meter, 0, report(calls=500))
    total, found = 500, 0
    for at_s, (calls, answers) in enumerate([*seconds, (0, True)], start=1):
        total += calls
        found += calls_of(meter, at_s, *([report(calls=total)] if answers else []))
    assert found == total - 500


def test_a_counter_that_goes_back_makes_no_figure() -> None:
    meter = NodeMeter("n1")
    calls_of(meter, 1, report(calls=50))
    second = meter.take((report(calls=20, cpu_s=-5.0),), {"tea": 1}, 2)
    assert (second.slices["tea"].calls, second.cpu_share) == (0, 0.0)
    assert second.slices["tea"].went_back, "no call was seen, which is not that there was none"
    assert together([second.slices["tea"], SliceFigures(calls=3)]).went_back
    assert calls_of(meter, 3, report(calls=25)) == 5


def test_processes_that_ended_are_forgotten() -> None:
    meter = NodeMeter("n1")
    for at_s in range(0, 3 * ABSENT_S_MAX, 10):
        meter.take((report(f"w-{at_s}"),), {}, at_s)
    assert len(meter._before) <= ABSENT_S_MAX // 10 + 1


def test_a_process_is_shared_out_to_its_slices() -> None:
    """CPU by how long calls took, memory by instances: together they are what the process used."""

    def both(tea_us: int, milk_us: int, cpu_s: float) -> ProcessReport:
        methods = (
            MethodReport("tea", "1", "brew", tea_us, 0, 0, tea_us, {}),
            MethodReport("milk", "2", "warm", milk_us, 0, 0, milk_us, {}),
        )
        hosted = (HostedLoad("tea", "1", 1, 3, 10), HostedLoad("milk", "2", 3, 1, 30))
        return ProcessReport(
            process="w-1", boot="a", pid=1, cpu_s=cpu_s, rss_bytes=400, loop_lag_ms=7.0, methods=methods, hosted=hosted
        )

    meter = NodeMeter("n1")
    meter.take((both(0, 0, 1.0),), {}, 1)
    slices = meter.take((both(3_000, 1_000, 1.8),), {"tea": 1, "milk": 3}, 2).slices
    assert (slices["tea"].cpu_s, slices["milk"].cpu_s) == (pytest.approx(0.6), pytest.approx(0.2))
    assert (slices["tea"].rss_bytes, slices["milk"].rss_bytes) == (100, 300)
    assert (slices["tea"].in_progress, slices["milk"].versions["2"].slots) == (3, 30)
    assert slices["milk"].loop_lag_ms == 7.0


def test_calls_that_wait_in_the_gateway_are_their_slices() -> None:
    meter = NodeMeter("n1")
    front = ProcessReport(process="gateway", boot="a", pid=1, waiting={"tea": 4})
    assert meter.take((front,), {"tea": 1}, 1).slices["tea"].waiting == 4


def test_calls_that_gateways_refused_are_their_slices_even_where_no_instance_is() -> None:
    """What else would tell anybody that a slice at none is called?"""
    meter = NodeMeter("n1")
    meter.take((ProcessReport(process="gateway", boot="a", pid=1),), {}, 0)
    refused = MethodReport("tea", "1", "pour", 0, 0, 3, 0, {})
    found = meter.take((ProcessReport(process="gateway", boot="a", pid=1, methods=(refused,)),), {}, 1).slices["tea"]
    assert (found.refused, found.rejected, found.calls) == (3, 0, 0)
    assert together([found, found]).refused == 6


def front_with(*, errors: int, lost: int) -> ProcessReport:
    method = MethodReport("tea", "1", "pour", 0, errors, 0, 0, {}, lost)
    return ProcessReport(process="gateway", boot="a", pid=1, methods=(method,))


def worker_with(*, ok: int, errors: int) -> ProcessReport:
    method = MethodReport("tea", "1", "pour", ok, errors, 0, 0, {})
    return ProcessReport(process="w-1", boot="b", pid=2, methods=(method,))


@pytest.mark.parametrize(("errors", "told"), [(0, (10, 4)), (3, (10, 4)), (6, (12, 6))])
def test_calls_without_a_reply_count_as_errors_though_a_process_that_hangs_counts_none(
    errors: int, told: tuple[int, int]
) -> None:
    """Some are counted where they run, too, once they end there: none counts twice."""
    meter, picture = NodeMeter("n1"), ClusterPicture()
    meter.take((front_with(errors=0, lost=0), worker_with(ok=0, errors=0)), {"tea": 1}, 99)
    picture.take(meter.take((front_with(errors=4, lost=4), worker_with(ok=6, errors=errors)), {"tea": 1}, 100), 100)
    picture.close_second(100)
    window = picture.window("tea")
    assert window is not None
    second = window.fine(1)
    assert (second["calls"][0], second["errors"][0]) == told


def test_a_slice_s_figures_are_told_node_by_node_for_a_minute() -> None:
    picture = ClusterPicture()
    for at_s in (100, 101):
        for node, calls in (("n1", 1), ("n2", 5)):
            taken(picture, node, at_s, at_s, calls=calls * at_s)
        picture.close_second(at_s)
    nodes = picture.by_node("tea")
    assert sorted(nodes) == ["n1", "n2"]
    assert (len(nodes["n2"]["calls"]), nodes["n2"]["p95_ms"][-1]) == (60, pytest.approx(0.671, abs=0.001))
    assert nodes["n2"]["calls"][-1] == 5 * nodes["n1"]["calls"][-1]
    assert picture.by_node("milk") == {}
    picture.close_second(162)
    assert picture.by_node("tea") == {}


def test_processes_that_answer_nothing_are_their_node_s_figure() -> None:
    picture = ClusterPicture()
    picture.take(msgspec.structs.replace(decode_figures(figures_of("n1", 100)), silent=("gateway",)), 100)
    taken(picture, "n2", 100, 100)
    picture.close_second(100)
    assert [picture.figure(f"node:{node}", "silent_processes") for node in ("n1", "n2")] == [1.0, 0.0]
    nodes = picture.summary(100)["nodes"]
    assert [each["silent"] for each in nodes] == [["gateway"], []]  # type: ignore[attr-defined,index]


def test_of_a_node_that_counts_as_down_nothing_counts_but_how_its_store_is() -> None:
    picture = ClusterPicture()
    hangs = msgspec.structs.replace(decode_figures(figures_of("n2", 100)), store=StoreVitals(silent=True))
    picture.take_store(hangs, 100)
    picture.close_second(100)
    assert picture.figure("store:n2", "silent") == 1.0
    assert (picture.nodes(100), picture.window("tea")) == ((), None)
    picture.close_second(101 + STALE_S)
    assert picture.figure("store:n2", "silent") is None, "it is long ago"


def test_nodes_of_different_releases_read_each_others_figures() -> None:
    """Members are appended with defaults: a rolling upgrade must not make nodes silent to each other."""
    older = msgspec.msgpack.encode({"node": "n1", "at_s": 5, "slices": {"tea": [7, 1, 0, 2, {}]}})
    assert decode_figures(older).slices["tea"] == SliceFigures(calls=7, errors=1, instances=2)
    newer = msgspec.msgpack.encode(
        {"node": "n1", "at_s": 5, "colour": 1, "slices": {"tea": [*msgspec.to_builtins(SliceFigures(calls=7)), "more"]}}
    )
    assert decode_figures(newer).slices["tea"].calls == 7


figures = st.builds(
    SliceFigures,
    calls=st.integers(0, 1_000),
    busy_us=st.integers(0, 10**9),
    buckets=st.dictionaries(st.integers(0, 300), st.integers(1, 9), max_size=5),
    in_progress=st.integers(0, 100),
    loop_lag_ms=st.floats(0, 1_000),
)


@given(st.lists(figures, min_size=1, max_size=5))
def test_nodes_together_are_the_sum_of_all(parts: list[SliceFigures]) -> None:
    found = together(parts)
    assert (found.calls, found.busy_us) == (sum(each.calls for each in parts), sum(each.busy_us for each in parts))
    assert sum(found.buckets.values()) == sum(sum(each.buckets.values()) for each in parts)
    assert found.loop_lag_ms == max(each.loop_lag_ms for each in parts)
    assert found == together(parts[::-1])


def figures_of(node: str, at_s: int, *, calls: int = 1) -> bytes:
    meter = NodeMeter(node)
    meter.take((report(),), {"tea": 2}, at_s - 1)
    return encode(meter.take((report(calls=calls),), {"tea": 2}, at_s))


def taken(picture: ClusterPicture, node: str, at_s: int, now_s: int, *, calls: int = 1) -> None:
    picture.take(decode_figures(figures_of(node, at_s, calls=calls)), now_s)


def test_the_picture_merges_nodes_and_leaves_out_the_silent() -> None:
    picture = ClusterPicture()
    for name, heard_s in (("n1", 100), ("n2", 100), ("n3", 80)):
        taken(picture, name, 100, heard_s)
    closed = picture.close_second(101)
    window = picture.window("tea")
    assert window is not None
    assert (closed["tea"].calls, closed["tea"].instances) == (2, 4)
    assert window.fine(1)["calls"] == [2.0]
    assert window.fine(1)["instances"] == [4.0]
    assert picture.window("coffee") is None


def test_each_node_has_a_window_of_its_own_for_as_long_as_it_shows_anything() -> None:
    """So that people see what a node did before its slices became slow."""
    picture = ClusterPicture()
    for at_s in range(100, 130):
        if at_s < 120:
            taken(picture, "n2", at_s, at_s)
        taken(picture, "n1", at_s, at_s)
        picture.close_second(at_s)
    window = picture.node_window("n1")
    assert window is not None
    assert {name: len(values) for name, values in window.fine().items()} == dict.fromkeys(NODE_SERIES, 600)
    assert window.fine(30)["memory_mib"] == [pytest.approx(picture.nodes(129)[0].rss_bytes / 2**20)] * 30
    assert not any(map(math.isnan, window.coarse(2)["cpu_cores"]))
    assert picture.node_window("n3") is None
    taken(picture, "n1", 130 + WINDOW_S, 130 + WINDOW_S)
    picture.close_second(130 + WINDOW_S)
    assert picture.node_window("n2") is None, "it told nothing for two hours"
    assert picture.node_window("n1") is not None


def test_a_node_whose_clock_is_wrong_is_seen_and_forgotten_like_any_other() -> None:
    """Its clock must neither keep its load out of the picture, nor keep it there when it is dead."""
    picture = ClusterPicture()
    taken(picture, "n1", 999_999, 100)
    assert picture.close_second(100)["tea"].calls == 1
    taken(picture, "n1", 5, 101, calls=3)
    assert picture.close_second(101)["tea"].calls == 3
    assert picture.nodes(102 + STALE_S) == ()


def test_figures_that_come_late_do_not_replace_newer_ones() -> None:
    picture = ClusterPicture()
    taken(picture, "n1", 102, 102, calls=5)
    taken(picture, "n1", 101, 102, calls=4)
    assert picture.close_second(102)["tea"].calls == 5


@pytest.mark.parametrize("back_s", [STALE_S + 1, 300, 86_400])
def test_a_clock_that_is_set_back_hides_no_second(back_s: int) -> None:
    """Guards and alerts read the newest seconds: those of a future that never came must not be taken for them."""
    picture = ClusterPicture()
    taken(picture, "n1", 100_000, 100_000, calls=9)
    picture.close_second(100_000)
    taken(picture, "n1", 100_000 - back_s, 100_000 - back_s, calls=2)
    picture.close_second(100_000 - back_s)
    window = picture.window("tea")
    assert window is not None
    assert window.fine(1)["calls"] == [2.0]
    assert math.isnan(window.fine(2)["calls"][0])


def test_a_slice_that_is_long_gone_takes_no_memory() -> None:
    picture = ClusterPicture()
    taken(picture, "n1", 100, 100)
    picture.close_second(100)
    picture.close_second(100 + WINDOW_S)
    assert picture.window("tea") is not None
    picture.close_second(101 + WINDOW_S)
    assert picture.window("tea") is None
