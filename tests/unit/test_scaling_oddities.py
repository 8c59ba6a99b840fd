"""What is too short to hold scaling is told once, and a clock that goes on as it should is not told at all."""

from __future__ import annotations

import pytest

from controllers.context.snapshot import SliceContext
from controllers.scaling.capacity import CapacityEstimator
from controllers.scaling.oddities import AGAIN_S, JUMP_S, Oddities
from controllers.scaling.signals import LoadSignals

UNIX_MS = 1_700_000_000_000


def load(name: str, doubted: str = "") -> SliceContext:
    return SliceContext(
        slice=name, version="1", versions=(), is_deploying=False, serving=1, starting=0, rate=1.0,
        signals=LoadSignals(), latency_p95_ms=None, waiting=0.0, idle_s=0.0, budget=0,
        capacity=CapacityEstimator().capacity, figures=None, day_ago_ratio=None, missing="", doubted=doubted,
    )  # fmt: skip


def told(oddities: Oddities, at_s: float, *loads: SliceContext, ahead_s: float = 0.0) -> list[str]:
    """ahead_s: how far the clock of the cluster has been set from where it was."""
    now_ms = UNIX_MS + int((at_s + ahead_s) * 1_000)
    return [each.why for each in oddities.found(now_ms, at_s, {each.slice: each for each in loads})]


@pytest.mark.parametrize(("by_s", "words"), [(86_400.0, "ahead by 86400 s"), (-7_200.0, "back by 7200 s")])
def test_a_clock_that_jumps_is_told_once_and_each_time_that_it_jumps(by_s: float, words: str) -> None:
    oddities = Oddities()
    assert told(oddities, 1.0) == told(oddities, 2.0) == []
    assert told(oddities, 3.0, ahead_s=by_s) == [f"the leader's clock went {words}"]
    assert told(oddities, 4.0, ahead_s=by_s) == []
    assert len(told(oddities, 5.0)) == 1


def test_a_clock_that_is_kept_right_and_ticks_that_come_late_are_nothing_odd() -> None:
    """As by NTP; and a leader that was stopped for a minute missed no time."""
    oddities = Oddities()
    for at, ahead_s in ((1.0, 0.0), (2.0, 0.5), (62.0, 0.4), (63.0, JUMP_S)):
        assert told(oddities, at, ahead_s=ahead_s) == []


def test_figures_that_flicker_are_told_once_in_ten_minutes_of_each_slice() -> None:
    oddities = Oddities()
    assert told(oddities, 1.0, load("tea", "no"), load("milk")) == ["no"]
    assert told(oddities, 2.0, load("tea"), load("milk")) == []
    assert told(oddities, 3.0, load("tea", "no"), load("milk", "neither")) == ["neither"]
    assert told(oddities, AGAIN_S, load("tea", "no")) == []
    assert told(oddities, AGAIN_S + 1.0, load("tea", "no")) == ["no"]
