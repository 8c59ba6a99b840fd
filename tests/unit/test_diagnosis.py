"""Why a slice is slow or fails: each cause by itself, and none where nothing is wrong."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from llm_layer.diagnosis.decide import Diagnosis, diagnose
from llm_layer.diagnosis.figures import figures_of
from llm_layer.diagnosis.patterns import patterns_in
from llm_layer.diagnosis.seen import Line, Seen, Span
from runtime.operations.queries.alerts import AlertRow
from runtime.operations.queries.cluster import ClusterStatus, Topology
from runtime.operations.queries.slices import InstanceRow, MetricShown, SliceExplained

NOW = 1_000_000_000
ADDRESSES = {"http": "", "peer": "", "control": "", "api": ""}
MINUTE = 60_000


def metric(
    name: str = "orders",
    *,
    p95: float = 40.0,
    calls: float = 10.0,
    errors: float = 0.0,
    rejected: float = 0.0,
    memory_mb: float = 50.0,
    faulty_s: int = 60,
) -> MetricShown:
    """Two hours of 10 calls a second at 40 ms, and since `faulty_s` as told."""
    steps, bad_s = faulty_s // 10, min(60, faulty_s)
    quiet = 720 - steps
    return MetricShown(
        slice=name,
        silent=(),
        seconds={
            "calls": (calls,) * 60,
            "errors": (0.0,) * (60 - bad_s) + (errors * calls,) * bad_s,
            "rejected": (rejected,) * 60,
            "p95_ms": (40.0,) * (60 - bad_s) + (p95,) * bad_s,
            "instance_mb": (memory_mb,) * 60,
        },
        ten_seconds={
            "instance_mb": (50.0,) * 720,
            "calls": (100.0,) * quiet + (calls * 10,) * steps,
            "errors": (0.0,) * quiet + (errors * calls * 10,) * steps,
            "p95_ms": (40.0,) * quiet + (p95,) * steps,
        },
    )


def version(**members: Any) -> dict[str, Any]:
    row = {"slice": "orders", "version": "1.0.0", "blueprint": "b", "wanted": 3, "min": 1, "max": 6, "serving": 3}
    return {**row, "failed": 0, "reasons": (), "weight": 1, **members}


def explained(**members: Any) -> SliceExplained:
    usual: dict[str, Any] = {
        "slice": "orders",
        "sentences": (),
        "versions": (version(),),
        "instances": (),
        "requires": (),
        "changes": (),
        "alerts": (),
        "incident": "",
        "freeze": "",
    }
    return msgspec.convert({**usual, **members}, SliceExplained)


TOPOLOGY = msgspec.convert(
    {
        "zones": [
            {
                "zone": "z",
                "nodes": [
                    {"node": node, "role": "core", "state": "up", "cordoned": False, "slices": [
                        {"slice": "orders", "version": "1.0.0", "instances": []}]}
                    for node in ("n1", "n2")
                ],
            }
        ],
        "edges": [
            {"slice": "orders", "requires": "payment", "optional": False, "met": True},
            {"slice": "payment", "requires": "ledger", "optional": False, "met": True},
        ],
        "blocked": [],
    },
    Topology,
)  # fmt: skip


def status(
    *, down: str = "", lagging: str = "", hanging: str = "", standing: tuple[dict[str, Any], ...] = ()
) -> ClusterStatus:
    nodes = [
        {
            "node": name,
            "role": "core",
            "zone": "z",
            "addresses": ADDRESSES,
            "state": "down" if name == down else "up",
            "instances": 2,
        }
        for name in ("n1", "n2")
    ]
    load = [
        {"node": name, "cpu_cores": 0.5, "rss_mb": 100.0, "loop_lag_ms": 900.0 if name == lagging else 1.0,
         "gc_pause_ms": 1.0, "connections": 1, "requests_per_s": 10.0,
         "silent": ["gateway"] if name == hanging else []}
        for name in ("n1", "n2")
    ]  # fmt: skip
    behind = [version(slice="payment"), version(slice="ledger")]
    told = {"node": "n1", "leader": "n1", "nodes": nodes, "slices": standing or [version(), *behind], "blueprints": []}
    return msgspec.convert({**told, "load": {"requests_per_s": 20.0, "nodes": load, "slices": []}}, ClusterStatus)


def found(
    slice_explained: SliceExplained | None = None,
    *metrics: MetricShown,
    slice_name: str = "orders",
    down: str = "",
    lagging: str = "",
    hanging: str = "",
    standing: tuple[dict[str, Any], ...] = (),
    **members: Any,
) -> Diagnosis:
    shown = metrics or (metric(),)
    looked_at = slice_explained or explained()
    return diagnose(
        Seen(
            slice=slice_name,
            now_unix_ms=NOW,
            explained={looked_at.slice: looked_at},
            status=status(down=down, lagging=lagging, hanging=hanging, standing=standing),
            topology=TOPOLOGY,
            figures={each.slice: figures_of(each) for each in shown},
            **members,
            evidence={
                "explain:orders": "E1",
                "metric:orders": "E2",
                "metric:payment": "E3",
                "metric:ledger": "E4",
                "status": "E5",
            },
        )
    )


def span(
    node: str, *, ms: int = 5, failed: bool = False, process: str = "w-1", detail: str = "orders/1", age_s: int = 5
) -> Span:
    return Span(
        at_ms=NOW - age_s * 1_000,
        name="orders/place",
        node=node,
        process=process,
        duration_us=ms * 1_000,
        failed=failed,
        detail=detail,
    )


def instances(*rows: dict[str, Any]) -> dict[str, tuple[InstanceRow, ...]]:
    return {"orders": msgspec.convert(rows, tuple[InstanceRow, ...])}


def alert(name: str, severity: str = "critical") -> AlertRow:
    row = {"fingerprint": "f", "group_key": "g", "name": name, "severity": severity, "subject": "slice:orders"}
    more = {"state": "firing", "origin": "rule", "labels": {"slice": "orders"}, "annotations": {"summary": "it lasts"}}
    return msgspec.convert({**row, **more, "value": 1.0, "bound": 0.5, "starts_unix_ms": NOW}, AlertRow)


def change(age_ms: int) -> dict[str, Any]:
    row = {"audit": "a1", "kind": "applied", "at_unix_ms": NOW - age_ms, "actor": "anna", "operation": "slice.scale"}
    return {**row, "summary": "orders: 6 -> 3 instances", "reason": "", "rule": ""}


def failed(node: str, **members: Any) -> dict[str, Any]:
    return {
        "slice": "orders",
        "node": node,
        "number": 0,
        "version": "1.0.0",
        "phase": "failed",
        "serving": False,
        **members,
    }


def first(diagnosis: Diagnosis) -> tuple[str, str]:
    return diagnosis.findings[0].mechanism, diagnosis.findings[0].root


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """A false alarm sends somebody looking, and an agent changing."""
    assert found().well
    assert found(None, metric(p95=55.0)).well
    assert found(explained(changes=(change(MINUTE),))).well
    assert found(None, metric(), lines=(Line(text="connection refused", instance="orders/1"),)).well
    assert found(slice_name="").well


def test_more_calls_than_instances_carry_is_saturation() -> None:
    slow = found(explained(versions=(version(wanted=6, serving=6),)), metric(p95=400.0, calls=40.0))
    assert first(slow) == ("saturated", "slice:orders")
    assert "6 instances at most" in slow.findings[0].says
    assert first(found(None, metric(rejected=5.0))) == ("saturated", "slice:orders")


def test_a_slow_dependency_is_named_and_not_its_victims() -> None:
    """Slowness travels towards the caller: of a chain the end is the cause."""
    slow = found(None, metric(p95=400.0), metric("payment", p95=380.0), metric("ledger", p95=350.0))
    assert first(slow) == ("dependency_slow", "slice:ledger")
    assert slow.findings[0].evidence == ("E4",)
    assert "slice:payment" not in {each.root for each in slow.findings}
    failing = found(None, metric(errors=0.5), metric("payment", errors=0.6))
    assert first(failing) == ("dependency_errors", "slice:payment")


def test_a_dependency_that_does_not_serve_comes_before_all() -> None:
    down = found(
        explained(versions=(version(serving=0),)),
        metric(),
        standing=(version(slice="payment", wanted=0, serving=0), version(slice="ledger")),
    )
    assert first(down) == ("dependency_down", "slice:payment")
    assert [each.operation for each in down.advice] == ["slice.scale"]


@pytest.mark.parametrize(("age_ms", "told"), [(2 * MINUTE, True), (29 * MINUTE, True), (31 * MINUTE, False)])
def test_a_recent_change_is_told_of_something_unwell(age_ms: int, told: bool) -> None:
    diagnosis = found(explained(changes=(change(age_ms),)), metric(errors=0.2))
    assert ("recent_change" in {each.mechanism for each in diagnosis.findings}) == told


def test_a_node_that_is_down_or_lags_is_the_cause_of_what_stands_on_it() -> None:
    assert first(found(None, metric(p95=400.0), down="n2")) == ("node_down", "node:n2")
    assert first(found(None, metric(p95=400.0), lagging="n1")) == ("node_busy", "node:n1")


def test_instances_that_fail_on_one_node_alone_point_at_it() -> None:
    rows = (failed("n2", generation=2), failed("n2", number=1, generation=2))
    story = explained(instances=rows, versions=(version(serving=1, failed=2),))
    begun_elsewhere = instances(*rows, {**failed("n1"), "phase": "active", "serving": True, "generation": 2})
    assert first(found(story, instances=begun_elsewhere)) == ("node_fault", "node:n2")
    not_tried_elsewhere = instances(*rows, {**failed("n1"), "phase": "active", "serving": True, "generation": 1})
    assert first(found(story, instances=not_tried_elsewhere))[1] == "slice:orders"


def test_calls_that_fail_or_are_slow_on_one_node_alone_point_at_it() -> None:
    good = tuple(span("n1") for _ in range(5))
    bad = tuple(span("n2", failed=True) for _ in range(6))
    assert first(found(None, metric(errors=0.3), hops={"orders": (*good, *bad)})) == ("node_fault", "node:n2")
    late = tuple(span("n2", ms=500) for _ in range(6))
    assert first(found(None, metric(p95=500.0), hops={"orders": (*good, *late)})) == ("node_fault", "node:n2")
    assert first(found(None, metric(errors=0.3), hops={"orders": bad}))[1] == "slice:orders"
    before = tuple(span("n1", age_s=50) for _ in range(5))
    late_news = found(None, metric(errors=0.3, faulty_s=20), hops={"orders": (*before, *bad)})
    assert first(late_news)[1] == "slice:orders"
    everywhere = (*bad, *(span("n1", failed=True) for _ in range(6)))
    assert first(found(None, metric(errors=0.3), hops={"orders": everywhere}))[1] == "slice:orders"


def test_calls_that_get_no_reply_through_one_node_point_at_it_though_no_slice_has_seen_them() -> None:
    lost = tuple(span("n2", failed=True, process="gateway", detail="no reply before the deadline") for _ in range(6))
    assert first(found(failed=lost)) == ("node_fault", "node:n2")
    refused = tuple(span("n2", failed=True, process="gateway", detail="500") for _ in range(6))
    assert found(failed=refused).well


def test_a_node_that_answers_nothing_is_told_though_it_counts_as_up() -> None:
    assert first(found(slice_name="", silent=("n2",))) == ("node_silent", "node:n2")
    assert first(found(slice_name="", down="n1")) == ("node_down", "node:n1")


def test_of_a_chain_the_last_that_fails_is_the_root_though_one_between_is_well() -> None:
    chain = found(None, metric(errors=0.6), metric("ledger", errors=0.5), metric("payment"))
    assert chain.roots == ("slice:ledger",)
    assert found(None, metric("ledger", errors=0.5), metric("orders"), slice_name="").roots == ("slice:ledger",)


def test_two_that_fail_each_by_itself_are_both_named() -> None:
    """Errors travel towards the caller; instances that do not start have come from nobody."""
    rows = (version(), version(slice="payment", serving=2, failed=1), version(slice="ledger"))
    both = found(None, metric("payment"), metric("ledger", errors=0.5), slice_name="", standing=rows)
    assert set(both.roots) == {"slice:payment", "slice:ledger"}


def test_what_people_hold_too_low_is_told_before_the_load() -> None:
    held = found(None, metric(rejected=5.0), pins={"orders": 2})
    assert first(held) == ("held_too_few", "slice:orders")
    assert [each.operation for each in held.advice] == ["controller.unpin"]


def test_instances_that_no_node_takes_are_told_with_the_nodes_that_take_nothing() -> None:
    assert first(found(explained(versions=(version(wanted=4, serving=2),)))) == ("no_room", "slice:orders")


def test_memory_that_grows_is_told_before_anything_is_slow() -> None:
    grown = found(None, metric(memory_mb=300.0))
    assert first(grown) == ("memory_grows", "slice:orders")
    assert [each.operation for each in grown.advice] == ["slice.restart"]
    assert found(None, metric(memory_mb=80.0)).well


def test_memory_that_grows_is_told_before_a_change_of_which_nobody_knows_whether_it_fits() -> None:
    released = {**change(90_000), "operation": "blueprint.apply"}
    grown = found(explained(changes=(released,)), metric(memory_mb=300.0))
    assert [each.mechanism for each in grown.findings] == ["memory_grows", "recent_change"]
    assert [each.operation for each in grown.advice] == ["slice.restart"]


def test_a_change_that_came_after_the_trouble_did_not_cause_it() -> None:
    before, after = explained(changes=(change(30_000),)), explained(changes=(change(1_000),))
    assert first(found(before, metric(errors=0.2, faulty_s=20)))[0] == "recent_change"
    late = found(after, metric(errors=0.2, faulty_s=60))
    assert "recent_change" not in {each.mechanism for each in late.findings}
    assert [each.operation for each in found(before, metric(errors=0.2, faulty_s=20)).advice] == []


def test_a_change_that_was_outlived_until_a_restart_is_not_the_cause() -> None:
    rows = (failed("n1", last_failure="OSError: No space left on device"),)
    restarted = {**change(5_000), "operation": "slice.restart"}
    released = {**change(200_000), "operation": "blueprint.apply"}
    short = version(serving=2, failed=1)
    assert first(found(explained(changes=(released,), instances=rows, versions=(short,))))[0] == "recent_change"
    later = found(explained(changes=(restarted, released), instances=rows, versions=(short,)))
    assert first(later)[0] == "pattern:disk_full"


def test_a_release_that_fits_is_undone_by_the_playbook_for_what_it_did() -> None:
    released = {**change(30_000), "operation": "blueprint.apply"}
    failing = found(explained(changes=(released,)), metric(errors=0.2, faulty_s=20))
    assert [each.request["playbook"] for each in failing.advice] == ["error-budget-burn"]
    slow = found(explained(changes=(released,)), metric(p95=400.0, faulty_s=20))
    assert [each.request["playbook"] for each in slow.advice] == ["latency-high"]
    short = found(explained(changes=(released,), versions=(version(serving=2, failed=1),)), metric())
    assert [each.request["playbook"] for each in short.advice] == ["activation-failed"]
    grown = found(explained(changes=(released,)), metric(memory_mb=300.0))
    assert [each.operation for each in grown.advice if each.operation != "slice.restart"] == []
    scaled = {**change(10_000), "actor": "scaling"}
    behind = found(explained(changes=(scaled, released)), metric(errors=0.2, faulty_s=20))
    assert [each.request["playbook"] for each in behind.advice] == ["error-budget-burn"]


def test_an_alert_of_a_victim_is_no_cause_of_its_own() -> None:
    victim = found(None, metric(errors=0.6), metric("payment", errors=0.6), alerts=(alert("SliceErrors"),))
    assert victim.roots == ("slice:payment",)


def test_alerts_on_the_past_say_nothing_of_now() -> None:
    assert found(alerts=(alert("ErrorBudgetBurnsFast"),)).well
    told = found(alerts=(alert("InstancesMissing"),))
    assert first(told) == ("alert:InstancesMissing", "slice:orders")
    assert found(alerts=(alert("InstancesMissing", severity="warning"),)).well


def test_unwell_without_a_cause_elsewhere_it_is_the_slice_itself() -> None:
    diagnosis = found(None, metric(errors=0.3))
    assert first(diagnosis) == ("fails_itself", "slice:orders")
    assert "30.0% of its calls fail" in diagnosis.symptoms
    assert first(found(None, metric(p95=400.0))) == ("slow_itself", "slice:orders")


def test_a_slice_that_nobody_calls_has_a_gap_and_no_fault() -> None:
    silent = MetricShown(slice="orders", silent=(), seconds={}, ten_seconds={})
    diagnosis = found(None, silent)
    assert diagnosis.well
    assert diagnosis.gaps == ("nobody calls orders, so it has no latency",)


@pytest.mark.parametrize("faulty_s", [60, 600, 3_600, 5_000])
def test_a_fault_of_an_hour_does_not_pass_for_usual(faulty_s: int) -> None:
    assert figures_of(metric(p95=400.0, faulty_s=faulty_s)).slow


def test_a_tenth_of_errors_is_failing_however_usual_it_has_become() -> None:
    assert figures_of(metric(errors=0.3, faulty_s=7_100)).failing
    assert not figures_of(metric(errors=0.06, faulty_s=7_100)).failing


def test_missing_values_are_passed_over() -> None:
    shown = MetricShown(
        slice="orders",
        silent=(),
        seconds={"calls": (None, 2.0), "p95_ms": (None, None)},
        ten_seconds={"calls": (None,) * 10, "p95_ms": (None,) * 3},
    )
    figures = figures_of(shown)
    assert (figures.calls, figures.p95, figures.p95_usual) == (2.0, None, None)
    assert not figures.unwell
    assert not math.isnan(figures.rejected)


def test_patterns_are_counted_by_text() -> None:
    assert [
        (name, count)
        for name, _, count in patterns_in(["ETIMEDOUT timed out", "deadline exceeded", "OOM-killed", "fine"])
    ] == [
        ("timeout", 2),
        ("out_of_memory", 1),
    ]


def test_what_the_cluster_scales_by_itself_breaks_nothing() -> None:
    """It goes on all day, so that there is one just before any fault; it explains too few instances alone."""
    scaled = explained(changes=({**change(30_000), "actor": "scaling", "summary": "orders 1.0.0: 3 -> 2 instances"},))
    failing = found(scaled, metric(errors=0.4, faulty_s=20))
    assert "recent_change" not in {each.mechanism for each in failing.findings}
    slow = found(scaled, metric(p95=900.0, faulty_s=20))
    assert [each.mechanism for each in slow.findings][:1] == ["slow_itself"]
    assert "recent_change" in {each.mechanism for each in slow.findings}
