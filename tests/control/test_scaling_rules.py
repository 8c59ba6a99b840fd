"""Layer 1: signals are what they say, rules are read with care, and the decision never does more than it may."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.scaling.decide import decide
from controllers.scaling.errors import RulesInvalid
from controllers.scaling.model import Because, Forecast, ScalingPolicy, SliceSeen
from controllers.scaling.signals import FEATURES, WINDOW_S, LoadSignals, day_ago_ratio
from controllers.scaling.tree import LEAF, Node, RuleTree, as_text, default_tree, parse_tree

TREE = RuleTree(
    name="two leaves", features=FEATURES[:1], quantile=0.9, nodes=(Node(0, 0.5, 1, 2), Node(LEAF, 1.0), Node(LEAF, 2.0))
)


def seen(rate: float | None, *, serving: int = 10, **members: object) -> SliceSeen:
    return msgspec.structs.replace(SliceSeen(rate=rate, serving=serving, rate_per_instance=100.0), **members)


def test_signals_are_what_a_plain_calculation_gives() -> None:
    loads = np.random.default_rng(1).uniform(50, 150, WINDOW_S + 137)
    signals, rates = LoadSignals(), []
    for load in loads.tolist():
        signals.take(load)
        rates.append(signals.smoothed)
    now, past = rates[-1], np.array(rates)
    found = dict(zip(FEATURES, signals.features(), strict=True))
    assert found["slope_30s"] == pytest.approx(now / past[-40:-20].mean() - 1, rel=1e-6)
    assert found["slope_120s"] == pytest.approx(now / past[-150:-90].mean() - 1, rel=1e-6)
    assert found["slope_600s"] == pytest.approx(now / past[-600:-480].mean() - 1, rel=1e-6)
    assert signals.rate == pytest.approx(max(now, loads[-3:].mean()))
    assert found["slope_10s"] == pytest.approx(now / past[-20:-10].mean() - 1, rel=1e-6)
    assert found["jump_1s"] == pytest.approx(loads[-1] / now, rel=1e-6)
    assert found["jump_3s"] == pytest.approx(loads[-3:].mean() / now, rel=1e-6)
    assert found["rate_vs_60min_mean"] == pytest.approx(now / past.mean(), rel=1e-6)
    assert found["rate_vs_day_mean"] == pytest.approx(now / past.mean(), rel=0.01)  # what is older counts a little less
    assert found["noise_60s"] == pytest.approx(past[-60:].std() / now, rel=1e-5)
    whole = past[: len(past) // 60 * 60].reshape(-1, 60).max(axis=1)
    assert found["rate_vs_10min_max"] == pytest.approx(now / whole[-10:].max(), rel=1e-6)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80))
def test_signals_of_any_load_are_numbers_within_their_limits(loads: list[float]) -> None:
    signals = LoadSignals()
    for load in loads:
        signals.take(load)
    assert all(-5 <= value <= 20 for value in signals.features(day_ago_ratio=1.2, forecast=(1.0, 2.0, 3.0)))


def test_the_shipped_tree_is_valid_and_can_be_read() -> None:
    tree = default_tree()
    assert sum(node.feature == LEAF for node in tree.nodes) <= 64
    assert "be ready for" in as_text(tree)
    assert tree.path([0.0] * len(FEATURES))


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ((Node(0, 0.5, 0, 1), Node(LEAF, 1.0)), "leads to"),
        ((Node(0, 0.5, 1, 7), Node(LEAF, 1.0)), "leads to"),
        ((Node(3, 0.5, 1, 2), Node(LEAF, 1.0), Node(LEAF, 1.0)), "there is none of"),
        ((Node(LEAF, 0.5),), "multiple 0.5"),
    ],
)
def test_a_tree_that_would_loop_or_shrink_is_refused(nodes: tuple[Node, ...], why: str) -> None:
    with pytest.raises(RulesInvalid, match=why):
        parse_tree(msgspec.json.encode(msgspec.structs.replace(TREE, nodes=nodes)))


@given(st.binary(max_size=200))
def test_garbage_is_no_tree(raw: bytes) -> None:
    with pytest.raises(RulesInvalid):
        parse_tree(raw)


@pytest.mark.parametrize("rate", [None, math.nan, math.inf, -1.0])
def test_without_metrics_nothing_changes(rate: float | None) -> None:
    decision = decide(ScalingPolicy(), TREE, seen(rate, starting=2))
    assert (decision.wanted, decision.because) == (12, (Because.NO_METRICS,))


def test_a_steep_slope_is_answered_before_the_load_is_there() -> None:
    policy = ScalingPolicy(utilisation=0.5)
    calm = decide(policy, TREE, seen(500.0, features=(0.1,)))
    steep = decide(policy, TREE, seen(500.0, features=(0.9,)), explain=True)
    assert (calm.wanted, steep.wanted) == (10, 20)
    assert steep.path == ("slope_10s 0.9 > 0.5",)


def test_what_was_needed_lately_and_what_is_forecast_hold_instances() -> None:
    policy = ScalingPolicy(utilisation=0.5, plan_utilisation=0.5)
    assert decide(policy, TREE, seen(100.0, held=8)).wanted == 8
    later = Forecast(soon=(100.0,) * 8, later=(300.0,) * 8)
    assert decide(policy, TREE, seen(100.0, forecast=later)).wanted == 6


def test_while_too_few_serve_more_are_started_than_are_missing_and_then_taken_back() -> None:
    policy = ScalingPolicy(utilisation=0.5, spare_starts=2.0)
    short = decide(policy, TREE, seen(1_000.0, serving=10, start_delay_s=30.0))
    assert (short.wanted, short.need, short.because) == (40, 20, (Because.RULES, Because.SHORT))
    enough = decide(policy, TREE, seen(1_000.0, serving=20, starting=20, start_delay_s=30.0))
    assert (enough.wanted, enough.need) == (20, 20)
    assert decide(policy, TREE, seen(1_000.0, serving=0, start_delay_s=30.0)).wanted <= 20


@pytest.mark.parametrize("start_delay_s", [None, 0.0, 4.9])
def test_no_spare_is_started_where_instances_are_ready_at_once(start_delay_s: float | None) -> None:
    """Else two become six and then four within a second, and the gate takes it for flapping."""
    policy = ScalingPolicy(utilisation=0.5, spare_starts=2.0)
    found = decide(policy, TREE, seen(1_000.0, serving=10, start_delay_s=start_delay_s))
    assert (found.wanted, found.because) == (20, (Because.RULES,))


def test_a_day_ago_is_told_by_what_followed_ten_minutes() -> None:
    assert day_ago_ratio([60.0] * 9 + [math.nan] + [90.0, 120.0, 30.0]) == pytest.approx(2.0)
    assert day_ago_ratio([math.nan] * 10 + [1.0, 1.0, 1.0]) is None


@given(st.lists(st.floats(0, 1e6, width=32) | st.just(math.nan), min_size=13, max_size=13))
def test_the_ratio_of_a_day_ago_is_a_number_or_nothing(minutes: list[float]) -> None:
    ratio = day_ago_ratio(minutes)
    assert ratio is None or (math.isfinite(ratio) and ratio >= 0)
