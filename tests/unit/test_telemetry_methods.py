"""What single methods did in the last minute: on one node from its processes' counts, and on all of them together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.meter import NodeMeter
from runtime.telemetry.methods import CELL_S, CELLS, MethodLoad, MethodsLately, together
from runtime.telemetry.recorder import Recorder

MINUTE_S = CELL_S * CELLS


class Node:
    """A worker that brews and an HTTP front before it, read out when a second is over."""

    def __init__(self, began_s: int = 0) -> None:
        self.worker, self.front, self.meter = Recorder(), Recorder(), NodeMeter("n1")
        self.at_s = began_s
        self.end_second()

    def call(self, method: str = "brew", *, us: int = 1_000, fails: bool = False, version: str = "1") -> None:
        self.worker.method("tea", version, method).record(us, "error" if fails else "ok")
        self.front.method("tea", version, method).record(us + 500, "ok")

    def end_second(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.meter.take((self.worker.report("w-1"), self.front.report("gateway")), {"tea": 1}, self.at_s)
            self.at_s += 1

    def lately(self) -> MethodsLately:
        return self.meter.methods.lately("tea")


def loads(*nodes: Node) -> dict[str, MethodLoad]:
    return {each.method: each for each in together([node.lately() for node in nodes])}


def test_each_method_has_figures_of_its_own() -> None:
    """A slow method among quick ones is what nobody sees in the figures of its slice."""
    node = Node()
    for number in range(100):
        node.call("brew", us=1_000, fails=number < 5)
    node.call("wash", us=800_000)
    node.end_second(9)
    found = loads(node)
    assert (found["brew"].calls, found["brew"].errors, found["brew"].calls_per_s) == (100, 5, 10.0)
    assert found["brew"].p99_ms is not None
    assert 1.0 <= found["brew"].p99_ms < 1.1
    assert found["wash"].calls == 1
    assert found["wash"].p50_ms is not None
    assert 800 <= found["wash"].p50_ms < 860


def test_nodes_are_added_up_each_over_its_own_seconds() -> None:
    """A node whose control began a moment ago has counted for fewer seconds, and its rate is no lower for that."""
    old, new = Node(), Node()
    for _ in range(59):
        for _ in range(4):
            old.call(us=1_000)
        old.end_second()
    for _ in range(9):
        for _ in range(4):
            new.call(us=9_000, version="2")
            new.call(us=9_000)
        new.end_second()
    first, second = together([old.lately(), new.lately()])
    assert (first.version, first.calls, second.version, second.calls) == ("1", 4 * 59 + 4 * 9, "2", 36)
    assert abs(first.calls_per_s - (4 * 59 / 60 + 3.6)) < 0.01
    assert second.calls_per_s == 3.6
    assert first.p50_ms is not None
    assert first.p99_ms is not None
    assert first.p50_ms < 1.1
    assert first.p99_ms >= 9


def test_what_was_turned_away_has_no_latency() -> None:
    node = Node()
    node.worker.method("tea", "1", "brew").record(0, "rejected")
    node.front.method("tea", "1", "brew").record(0, "rejected")
    node.end_second()
    found = loads(node)["brew"]
    assert (found.calls, found.rejected, found.refused, found.p50_ms) == (0, 1, 1, None)


def test_a_method_that_nobody_calls_any_more_goes() -> None:
    node = Node()
    node.call()
    node.end_second(MINUTE_S + CELL_S)
    assert node.lately().methods == ()
    assert node.lately().over_s <= MINUTE_S


def test_a_clock_that_was_set_back_hides_nothing_that_comes() -> None:
    node = Node(began_s=100_000)
    node.call()
    node.end_second()
    node.at_s = 500
    node.call()
    node.end_second()
    assert (loads(node)["brew"].calls, node.lately().over_s) == (1, 1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(0, 1_000))
def test_the_last_minute_has_all_calls_of_its_seconds_and_no_others(calls: list[int], began_s: int) -> None:
    node = Node(began_s)
    for each in calls:
        for _ in range(each):
            node.call()
        node.end_second()
    over_s = node.lately().over_s
    assert over_s <= MINUTE_S
    assert over_s > MINUTE_S - CELL_S or over_s == len(calls) + 1  # the second in which the node began
    counted = sum(each.calls for each in node.lately().methods)
    assert counted == sum(calls[-over_s:])
