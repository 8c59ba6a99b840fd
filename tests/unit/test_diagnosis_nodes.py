"""What is wrong on one node alone, told from what is wrong everywhere; and changes that left a slice as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llm_layer.diagnosis.seen import Line
from runtime.operations.queries.page import Series
from tests.unit.test_diagnosis import NOW, alert, change, explained, first, found, metric, span


def on_node(*, p95: float = 40.0, calls: float = 5.0, errors: float = 0.0, bad_s: int = 60) -> Series:
    """A minute on one node: well at first, and as told for the last `bad_s` seconds."""
    good_s = 60 - bad_s
    return {
        "calls": (calls,) * 60,
        "errors": (0.0,) * good_s + (errors * calls,) * bad_s,
        "p95_ms": (40.0,) * good_s + (p95,) * bad_s,
    }


def test_a_slice_that_is_slow_on_one_node_alone_points_at_it_though_it_is_well_on_the_whole() -> None:
    """Calls are balanced away from the slow instance, which is no reason not to tell of it."""
    slow = found(by_node={"orders": {"n1": on_node(), "n2": on_node(p95=400.0)}})
    assert (slow.well, slow.roots, first(slow)) == (False, ("node:n2",), ("node_fault", "node:n2"))
    assert "400 ms on node n2" in slow.findings[0].says
    begun = found(by_node={"orders": {"n1": on_node(), "n2": on_node(p95=400.0, bad_s=5)}})
    assert begun.roots == ("node:n2",)


def test_a_slice_that_fails_on_one_node_alone_points_at_it() -> None:
    nodes = {"n1": on_node(), "n2": on_node(errors=1.0)}
    assert found(None, metric(errors=0.3), by_node={"orders": nodes}).roots == ("node:n2",)


def test_what_all_nodes_have_is_no_node_s() -> None:
    """Noise of a busy machine is everybody's: a false alarm would have a node drained for it."""
    both = {"n1": on_node(p95=400.0, errors=0.3), "n2": on_node(p95=700.0, errors=0.4)}
    assert found(None, metric(p95=500.0, errors=0.3), by_node={"orders": both}).roots == ("slice:orders",)
    assert found(by_node={"orders": {"n1": on_node(), "n2": on_node(p95=75.0)}}).well
    assert found(by_node={"orders": {"n1": on_node(), "n2": on_node(p95=400.0, bad_s=3)}}).well
    assert found(by_node={"orders": {"n2": on_node(p95=400.0)}}).well, "there is nothing to compare it with"
    assert found(by_node={"orders": {"n1": on_node(calls=0.1), "n2": on_node(p95=400.0)}}).well


def test_what_stands_on_it_is_explained_by_it_and_what_does_not_is_told_beside_it() -> None:
    slow = {"payment": {"n1": on_node(), "n2": on_node(p95=400.0)}}
    assert found(None, metric(p95=400.0), metric("payment"), by_node=slow).roots == ("node:n2",)
    apart = found(None, metric("payment"), metric("ledger", errors=0.5), by_node=slow, slice_name="")
    assert set(apart.roots) == {"node:n2", "slice:ledger"}


def test_a_store_that_answers_nothing_is_why_its_node_counts_as_down() -> None:
    silent = msgspec.structs.replace(alert("StoreSilent"), subject="store:n2", labels={"node": "n2"})
    told = found(slice_name="", down="n2", alerts=(silent,))
    assert (told.roots, first(told)) == (("node:n2",), ("store_silent", "node:n2"))


def test_a_change_of_a_blueprint_that_left_a_slice_as_it_was_is_not_its_cause() -> None:
    def told(*touched: str) -> str:
        released: dict[str, Any] = {**change(30_000), "operation": "blueprint.apply", "touched": touched}
        return first(found(explained(changes=(released,)), metric(errors=0.2, faulty_s=20)))[0]

    assert told("slice:payment", "slice:orders") == "recent_change"
    assert told("slice:payment") == "fails_itself"
    assert told() == "fails_itself", "it changed nothing"


def test_a_process_that_hangs_is_its_node_s_fault_though_no_call_has_ended_yet() -> None:
    """What a gateway that hangs has taken is counted by nobody."""
    assert first(found(slice_name="", hanging="n2")) == ("node_fault", "node:n2")
    told = found(None, metric(errors=0.2), hanging="n2")
    assert (told.roots, first(told)) == (("node:n2",), ("node_fault", "node:n2"))


def test_calls_that_got_no_reply_are_the_instance_s_node_s_and_not_the_gateway_s() -> None:
    detail = "no reply before the deadline, on node n2"
    lost = tuple(span(node, failed=True, process="gateway", detail=detail) for node in ("n1", "n2") * 3)
    assert found(failed=lost).roots == ("node:n2",)


def test_lines_from_before_the_trouble_say_nothing_of_it() -> None:
    """A disk that was full a minute ago is not why calls fail now."""

    def told(age_s: int) -> str:
        lines = (Line(text="No space left on device", instance="orders/1", at_ms=NOW - age_s * 1_000),) * 3
        return first(found(None, metric(errors=0.3, faulty_s=20), lines=lines))[0]

    assert (told(10), told(50)) == ("pattern:disk_full", "fails_itself")


@pytest.mark.parametrize(("faulty_s", "well"), [(4, True), (6, False), (9, False)])
def test_what_has_just_begun_and_lasts_is_found_and_a_moment_is_not(faulty_s: int, well: bool) -> None:
    assert found(None, metric(p95=400.0, faulty_s=faulty_s)).well == well


@pytest.mark.parametrize(("age_ms", "root"), [(20_000, "slice:orders"), (100_000, "node:n2")])
def test_nodes_that_differ_as_a_change_reaches_them_one_after_the_other_are_not_to_blame(
    age_ms: int, root: str
) -> None:
    """To drain the first that got a slow release would leave the others to get it too."""
    released = {**change(age_ms), "operation": "blueprint.apply", "touched": ("slice:orders",)}
    nodes = {"n1": on_node(), "n2": on_node(p95=400.0, bad_s=15)}
    told = found(explained(changes=(released,)), metric(p95=400.0, faulty_s=15), by_node={"orders": nodes})
    assert told.roots == (root,)
    callers = {"orders": nodes, "payment": nodes}
    behind = explained(slice="payment", changes=({**released, "touched": ("slice:payment",)},))
    seen = found(behind, metric(p95=400.0, faulty_s=15), metric("payment", p95=400.0, faulty_s=15), by_node=callers)
    assert seen.roots == (root.replace("orders", "payment"),)


def test_what_begins_everywhere_is_no_node_s_though_it_shows_a_second_sooner_on_one() -> None:
    sooner, later = on_node(p95=400.0, bad_s=8), on_node(p95=400.0, bad_s=6)
    begun = found(None, metric(p95=400.0, faulty_s=8), by_node={"orders": {"n1": sooner, "n2": later}})
    assert begun.roots == ("slice:orders",)
    fails = {"n1": on_node(errors=1.0, bad_s=8), "n2": on_node(errors=1.0, bad_s=2)}
    assert found(None, metric(errors=0.5, faulty_s=8), by_node={"orders": fails}).roots == ("slice:orders",)


def test_a_node_that_gets_no_calls_any_more_is_none_to_compare_with() -> None:
    before = {**on_node(), "calls": (5.0,) * 52 + (0.0,) * 8, "p95_ms": (40.0,) * 52 + (None,) * 8}
    only = {"n1": before, "n2": on_node(p95=400.0, bad_s=8)}
    assert found(None, metric(p95=400.0, faulty_s=8), by_node={"orders": only}).roots == ("slice:orders",)
