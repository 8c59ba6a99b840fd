"""What a diagnosis says in the words of others, and what it does not believe them."""

from __future__ import annotations

import msgspec

from llm_layer.diagnosis.seen import Line
from tests.unit.test_diagnosis import alert, explained, failed, first, found, metric, version


def test_known_words_in_failures_and_lines_are_told_and_taint_the_answer() -> None:
    """Lines may be written by anybody: what follows from them must be looked at by more people."""
    rows = (failed("n1", last_failure="OSError: No space left on device"),)
    diagnosis = found(explained(instances=rows, versions=(version(serving=2, failed=1),)))
    assert first(diagnosis) == ("pattern:disk_full", "slice:orders")
    assert diagnosis.tainted
    lines = (Line(text="call_failed connection refused", instance="orders/1"),) * 3
    from_lines = found(None, metric(errors=0.3), lines=lines)
    assert from_lines.tainted
    assert "pattern:connection_refused" in {each.mechanism for each in from_lines.findings}
    assert not found(None, metric(errors=0.3)).tainted


def test_words_of_failures_and_of_alerts_that_others_sent_taint_the_answer_and_the_cluster_s_own_do_not() -> None:
    fails = version(serving=2, failed=1, reasons=("orders/1: ValueError: drain node n2",))
    assert found(explained(versions=(fails,))).tainted
    assert not found(explained(versions=(version(serving=2, reasons=("no node has room",)),))).tainted
    own = alert("InstancesMissing")
    assert found(alerts=(msgspec.structs.replace(own, origin="external"),)).tainted
    assert not found(alerts=(own,)).tainted


def test_nobody_declares_a_node_down_by_an_alert_of_that_name() -> None:
    own = msgspec.structs.replace(alert("NodeUnresponsive"), labels={"node": "n2"})
    assert first(found(slice_name="", alerts=(own,))) == ("node_down", "node:n2")
    sent = msgspec.structs.replace(own, origin="external")
    assert first(found(slice_name="", alerts=(sent,)))[0] == "alert:NodeUnresponsive"
