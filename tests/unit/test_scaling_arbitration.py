"""Arbitration: whatever the layers, the model or the metrics say, no decision leaves the guard rails."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.scaling.arbitration import STEP_MIN, arbitrate
from controllers.scaling.decide import decide
from controllers.scaling.model import (
    QUANTILES,
    Because,
    Choice,
    Decision,
    Forecast,
    Layer,
    LayerDecision,
    Opinion,
    Pin,
    ScalingPolicy,
    SliceSeen,
    Surroundings,
    at_quantile,
)
from controllers.scaling.signals import FEATURES
from controllers.scaling.tree import LEAF, Node, RuleTree

TREE = RuleTree(
    name="two leaves", features=FEATURES[:1], quantile=0.9, nodes=(Node(0, 0.5, 1, 2), Node(LEAF, 1.0), Node(LEAF, 2.0))
)
POLICY = ScalingPolicy(utilisation=0.5, plan_utilisation=0.5)

rising = st.lists(st.floats(0, 1e6), min_size=len(QUANTILES), max_size=len(QUANTILES)).map(
    lambda each: (*sorted(each),)
)
forecasts = st.none() | st.builds(Forecast, soon=rising, later=rising)
rates = st.floats(0, 1e3) | st.floats(0, 1e5) | st.sampled_from([None, math.nan, math.inf, -1.0])
policies = st.builds(
    ScalingPolicy,
    hold_s=st.integers(0, 600),
    cool_down_out_s=st.integers(0, 600),
    cool_down_in_s=st.integers(0, 600),
    step_share=st.floats(0.01, 10),
    shrink_share=st.floats(0.01, 1),
    shortage_cost=st.floats(1, 100),
    hour_cost_max=st.none() | st.floats(0.5, 500),
)
arounds = st.builds(
    Surroundings,
    paused=st.sampled_from(["", "", "", "off"]),
    pin=st.none()
    | st.none()
    | st.builds(Pin, instances=st.integers(0, 900), until_unix_ms=st.just(1), by=st.just("ann")),
    frozen=st.sampled_from(["", "", "", "release"]),
    incident=st.sampled_from(["", "", "fire"]),
    deploying=st.booleans(),
    overridden=st.sampled_from(["", "", "out", "in"]),
    since_change_s=st.none() | st.floats(0, 1e4),
    budget=st.none() | st.integers(0, 300),
    room=st.none() | st.integers(0, 300),
)
opinions = st.none() | st.builds(
    Opinion, choice=st.sampled_from(Choice), reason=st.just("because"), instances=st.integers(0, 2_000)
)


@st.composite
def slices(draw: st.DrawFn) -> SliceSeen:
    """With bounds that the present number keeps, as the store's operations see to."""
    least = draw(st.integers(0, 20))
    most = least + draw(st.integers(0, 600))
    current = draw(st.integers(least, most))
    serving = draw(st.integers(0, current))
    return SliceSeen(
        rate=draw(rates),
        features=draw(st.sampled_from([(), (0.1,), (0.9,)])),
        serving=serving,
        starting=current - serving,
        least=least,
        most=most,
        rate_per_instance=draw(st.sampled_from([0.0, 5.0, 100.0, 1_000.0])),
        latency_p95_ms=draw(st.none() | st.floats(0, 1e5)),
        waiting=draw(st.floats(0, 1e5)),
        idle_s=draw(st.floats(0, 1e4)),
        forecast=draw(forecasts),
        held=draw(st.integers(0, 50)),
    )


@given(policies, slices(), arounds, opinions)
def test_no_decision_leaves_the_rails(
    policy: ScalingPolicy, seen: SliceSeen, around: Surroundings, opinion: Opinion | None
) -> None:
    """The safety properties, all of them on one case: bounds, steps, what is missing, what people said, budgets."""
    found = decide(policy, TREE, seen, around, opinion=opinion)
    more, fewer = found.wanted > seen.current, found.wanted < seen.current
    assert seen.least <= found.wanted <= seen.most
    if around.frozen:
        assert found.wanted == seen.current
    elif around.pin is not None:
        assert found.wanted == min(max(around.pin.instances, seen.least), seen.most)
    else:
        _check_layers(policy, seen, around, found, more=more, fewer=fewer)


def _check_layers(
    policy: ScalingPolicy, seen: SliceSeen, around: Surroundings, found: Decision, *, more: bool, fewer: bool
) -> None:
    known = seen.rate is not None and math.isfinite(seen.rate) and seen.rate >= 0 and seen.rate_per_instance > 0
    if around.paused or not known:
        assert found.wanted == seen.current
    if fewer:
        assert (around.deploying, around.incident, around.overridden) == (False, "", "")
        assert around.since_change_s is None or around.since_change_s >= policy.cool_down_in_s
        assert found.wanted >= seen.current - max(1, math.floor(seen.current * policy.shrink_share))
        assert found.wanted >= min(seen.current, seen.held)
        assert around.budget is None or seen.serving - found.wanted <= max(0, around.budget)
        assert all(found.wanted >= min(each.wanted, seen.most) for each in found.layers)
        assert all(found.wanted >= min(each.keep, seen.most) for each in found.layers)
    if more:
        assert around.overridden != "in"
        assert around.since_change_s is None or around.since_change_s >= policy.cool_down_out_s
        assert found.wanted <= seen.current + max(STEP_MIN, math.floor(seen.current * policy.step_share))
        assert around.room is None or found.wanted <= seen.current + around.room
        assert policy.hour_cost_max is None or found.wanted <= policy.hour_cost_max + 1e-6


@given(policies, slices(), arounds, opinions)
def test_equal_inputs_give_equal_decisions(
    policy: ScalingPolicy, seen: SliceSeen, around: Surroundings, opinion: Opinion | None
) -> None:
    first, again = (decide(policy, TREE, seen, around, opinion=opinion, explain=True) for _ in range(2))
    assert first == again


@given(policies, slices(), arounds)
def test_silence_of_the_model_keeps_the_capacity_of_the_safer_layer(
    policy: ScalingPolicy, seen: SliceSeen, around: Surroundings
) -> None:
    found = decide(policy, TREE, seen, around)
    assert found.gate_class == 0
    if found.layer is not Layer.GUARD:
        assert found.asked == max(each.wanted for each in found.layers)


def seen(rate: float | None, *, serving: int = 10, **members: object) -> SliceSeen:
    return msgspec.structs.replace(SliceSeen(rate=rate, serving=serving, rate_per_instance=100.0), **members)


def layer(name: Layer, wanted: int, keep: int = 0) -> LayerDecision:
    return LayerDecision(layer=name, wanted=wanted, keep=keep, because=Because.RULES)


BOTH = (layer(Layer.TREE, 12), layer(Layer.FORECAST, 16))


@pytest.mark.parametrize(
    ("opinion", "wanted", "by", "gate_class"),
    [
        (None, 16, Layer.FORECAST, 0),
        (Opinion(choice=Choice.TREE, reason="r"), 12, Layer.TREE, 0),
        (Opinion(choice=Choice.FORECAST, reason="r"), 16, Layer.FORECAST, 0),
        (Opinion(choice=Choice.HOLD, reason="r"), 10, Layer.REASONING, 0),
        (Opinion(choice=Choice.CUSTOM, reason="r", instances=14), 14, Layer.REASONING, 1),
    ],
)
def test_the_reasoning_layer_chooses_and_a_number_of_its_own_needs_approval(
    opinion: Opinion | None, wanted: int, by: Layer, gate_class: int
) -> None:
    found = arbitrate(POLICY, seen(100.0), Surroundings(), BOTH, opinion)
    assert (found.wanted, found.layer, found.gate_class) == (wanted, by, gate_class)


FEWER = [layer(Layer.TREE, 2)]
MORE = [layer(Layer.TREE, 100)]
FORESEEN = [*FEWER, msgspec.structs.replace(layer(Layer.FORECAST, 2), enough=6)]


@pytest.mark.parametrize(
    ("policy", "layers", "around", "members", "wanted", "because"),
    [
        ({}, FEWER, {}, {"held": 7}, 7, Because.HELD),
        ({}, FORESEEN, {}, {"held": 7, "held_lately": 2}, 6, Because.HELD),
        ({}, FORESEEN, {}, {"held": 7, "held_lately": 7}, 7, Because.HELD),
        ({}, FORESEEN, {}, {"held": 5, "held_lately": 2}, 5, Because.HELD),
        ({}, FORESEEN, {}, {"held": 7}, 7, Because.HELD),
        ({}, FEWER, {}, {"held": 7, "held_lately": 2}, 7, Because.HELD),
        ({"dead_band": 0.3}, FEWER, {}, {"held": 8}, 10, Because.DEAD_BAND),
        ({"dead_band": 0.3}, FEWER, {}, {"held": 7}, 7, Because.HELD),
        ({"shrink_share": 0.2}, FEWER, {}, {}, 8, Because.STEP),
        ({}, FEWER, {}, {}, 5, Because.STEP),
        ({}, FEWER, {"budget": 3}, {}, 7, Because.BUDGET),
        ({}, FEWER, {"budget": -1}, {}, 10, Because.BUDGET),
        ({}, FEWER, {"deploying": True}, {}, 10, Because.DEPLOYING),
        ({}, FEWER, {"incident": "fire"}, {}, 10, Because.INCIDENT),
        ({}, FEWER, {"overridden": "out"}, {}, 10, Because.OVERRIDDEN),
        ({}, FEWER, {"turns": 6}, {}, 10, Because.FLAPPING),
        ({"shrink_share": 1.0}, FEWER, {"turns": 6}, {"serving": 4, "starting": 6}, 4, Because.FLAPPING),
        ({"shrink_share": 1.0}, FEWER, {"budget": 1}, {"serving": 4, "starting": 6}, 3, Because.BUDGET),
        ({}, MORE, {"turns": 60}, {}, 100, Because.RULES),
        ({"cool_down_in_s": 60}, FEWER, {"since_change_s": 59.0}, {}, 10, Because.COOL_DOWN),
        ({"cool_down_in_s": 60}, FEWER, {"since_change_s": 60.0}, {}, 5, Because.STEP),
        ({"shrink_share": 1.0}, FEWER, {}, {"least": 5}, 5, Because.BOUNDS),
        ({}, FEWER, {"paused": "off"}, {}, 10, Because.PAUSED),
        ({}, FEWER, {"frozen": "release"}, {}, 10, Because.FROZEN),
        ({"step_share": 0.5}, MORE, {}, {}, 15, Because.STEP),
        ({"step_share": 0.5}, MORE, {}, {"serving": 2}, 6, Because.STEP),
        ({}, MORE, {"room": 4}, {}, 14, Because.NODES_FULL),
        ({"hour_cost_max": 12.5}, MORE, {}, {}, 12, Because.COST),
        ({"hour_cost_max": 5.0}, MORE, {}, {}, 10, Because.COST),
        ({}, MORE, {"overridden": "in"}, {}, 10, Because.OVERRIDDEN),
        ({}, MORE, {"overridden": "out"}, {}, 100, Because.RULES),
        ({}, MORE, {"deploying": True, "incident": "fire"}, {}, 100, Because.RULES),
        ({"cool_down_out_s": 60}, MORE, {"since_change_s": 59.0}, {}, 10, Because.COOL_DOWN),
        ({}, MORE, {}, {"most": 30}, 30, Because.BOUNDS),
        ({}, MORE, {"paused": "off"}, {}, 10, Because.PAUSED),
        ({}, MORE, {"frozen": "release"}, {}, 10, Because.FROZEN),
    ],
)
def test_each_rail_holds_and_is_named(
    policy: dict[str, object],
    layers: list[LayerDecision],
    around: dict[str, object],
    members: dict[str, object],
    wanted: int,
    because: Because,
) -> None:
    given_policy = msgspec.structs.replace(POLICY, **policy)
    found = arbitrate(given_policy, seen(100.0, **members), Surroundings(**around), layers)  # type: ignore[arg-type]
    assert (found.wanted, found.because[-1]) == (wanted, because)


@pytest.mark.parametrize(("pinned", "wanted"), [(3, 3), (200, 200), (5_000, 1_000)])
@pytest.mark.parametrize("around", [{}, {"paused": "off"}, {"deploying": True}, {"overridden": "in"}, {"room": 0}])
@pytest.mark.parametrize("layers", [(), FEWER, MORE])
def test_a_pin_wins_over_all_but_the_bounds_and_a_freeze(
    pinned: int, wanted: int, around: dict[str, object], layers: list[LayerDecision]
) -> None:
    pin = Pin(instances=pinned, until_unix_ms=1, by="ann")
    found = arbitrate(POLICY, seen(100.0), Surroundings(pin=pin, **around), layers)  # type: ignore[arg-type]
    assert (found.wanted, found.because) == (wanted, (Because.PINNED,))


def test_no_opinion_takes_away_what_a_lower_layer_needs() -> None:
    """Else a model that was misled could take capacity away under load."""
    few = Opinion(choice=Choice.CUSTOM, reason="r", instances=1)
    found = arbitrate(POLICY, seen(100.0, serving=20), Surroundings(), BOTH, few)
    assert (found.wanted, found.because[-1]) == (16, Because.LATER)


def test_a_forecast_peak_orders_instances_before_the_load_is_there() -> None:
    peak = Forecast(soon=(900.0,) * 8, later=(900.0,) * 8)
    assert decide(POLICY, TREE, seen(100.0, forecast=peak)).wanted == 18


def test_instances_go_only_when_the_forecast_agrees() -> None:
    peak = Forecast(soon=(0.0,) * 8, later=(400.0,) * 8)
    assert decide(POLICY, TREE, seen(100.0)).wanted == 5
    found = decide(POLICY, TREE, seen(100.0, forecast=peak))
    assert (found.wanted, found.because[-1]) == (8, Because.LATER)


@given(rising, st.floats(0, 1))
def test_a_quantile_lies_between_its_neighbours(values: tuple[float, ...], quantile: float) -> None:
    found = at_quantile(values, quantile)
    assert values[0] <= found <= values[-1]
    assert at_quantile(values, 0.5) == pytest.approx(values[3])


def test_a_dearer_shortage_plans_for_more() -> None:
    spread = Forecast(soon=tuple(100.0 * number for number in range(1, 9)), later=(0.0,) * 8)
    planned = [
        decide(msgspec.structs.replace(POLICY, shortage_cost=cost), TREE, seen(0.0, forecast=spread)).asked
        for cost in (1.0, 9.0, 99.0)
    ]
    assert planned == [8, 12, 16]  # the median, the 90th and the 99th percentile, at 50 requests an instance


@pytest.mark.parametrize(
    ("least", "idle_s", "waiting", "wanted"),
    [(0, 700.0, 0.0, 0), (0, 500.0, 0.0, 1), (1, 700.0, 0.0, 1), (0, 700.0, 1.0, 1)],
)
def test_the_last_instance_goes_only_where_bounds_allow_and_nobody_called_for_long(
    least: int, idle_s: float, waiting: float, wanted: int
) -> None:
    found = decide(POLICY, TREE, seen(0.0, serving=1, least=least, idle_s=idle_s, waiting=waiting))
    assert found.wanted == wanted


@pytest.mark.parametrize(("calls_a_minute", "wanted"), [(0.3, 0), (1.0, 1)])
def test_less_than_one_call_ahead_keeps_no_instance(calls_a_minute: float, wanted: int) -> None:
    """The median of a load that hardly is lies a little above nothing: it would keep the last instance for ever."""
    ahead = Forecast(soon=(calls_a_minute / 60,) * 8, later=(calls_a_minute / 60,) * 8)
    found = decide(POLICY, TREE, seen(0.0, serving=1, least=0, idle_s=9_999.0, forecast=ahead))
    assert found.wanted == wanted


def test_who_is_turned_away_brings_a_slice_back_from_none() -> None:
    assert decide(POLICY, TREE, seen(0.0, serving=0, least=0, waiting=3.0, idle_s=9_999.0)).wanted == 1
