"""A minute of forecasting: what is settled, what is said, and how one model follows another without a gap."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.ttm.cycle import Cycle, Tick
from controllers.ttm.drift import DriftCause
from controllers.ttm.errors import ForecastUnusable
from controllers.ttm.history import Histories
from controllers.ttm.standing import Standing
from tests.unit.ttm_parts import LastValue, histories

LOAD = np.abs(np.random.default_rng(4).normal(600, 30, 1_500)).tolist()


def run(cycle: Cycle, load: list[float], *, first: int = 60) -> list[Tick]:
    """One slice, minute by minute."""
    return [cycle.minute(at, histories({"orders": load[: at + 1]})) for at in range(first, len(load))]


def test_every_slice_with_enough_history_gets_a_calibrated_forecast() -> None:
    model = LastValue()
    tick = Cycle(model).minute(
        60, histories({"orders": LOAD[:60], "new": LOAD[:3], "gone": [1.0] * 40 + [np.nan] * 20})
    )
    assert set(tick.forecasts) == {"orders"}
    assert model.asked == [("orders",)], "all that can be forecast in one batch, and nothing else"
    assert tick.forecasts["orders"].at(1, 0.5) == pytest.approx(LOAD[59], rel=1e-5)


@pytest.mark.parametrize("width", [0.01, 0.3])
def test_what_it_says_covers_ninety_percent_whatever_the_model_believes(width: float) -> None:
    ticks = run(Cycle(LastValue(width)), LOAD[:800])
    covered = [bool(tick.outcome.covered[0, 0]) for tick in ticks if tick.outcome.known[0, 0]]
    assert np.mean(covered[300:]) == pytest.approx(0.9, abs=0.03)


def test_a_load_that_begins_to_jump_is_told_as_drift() -> None:
    wild = [*LOAD[:400], *(value * (1.8 if at // 10 % 2 else 0.6) for at, value in enumerate(LOAD[:300]))]
    causes = [tick.drifted.get("orders") for tick in run(Cycle(LastValue()), wild)]
    assert set(causes[:340]) == {None}
    assert DriftCause.ERROR in causes[340:]


def test_a_crowned_model_speaks_from_the_next_minute_on_beside_the_one_before() -> None:
    old, new = LastValue(), LastValue(bias=0.5)
    cycle = Cycle(old)
    run(cycle, LOAD[:70])
    cycle.crown(new)
    tick = cycle.minute(70, histories({"orders": LOAD[:71]}))
    assert tick.forecasts["orders"].at(1, 0.5) == pytest.approx(1.5 * LOAD[70], rel=1e-5)
    assert len(old.asked) == 11
    assert tick.standing is Standing.ON_PROBATION


def test_a_crowned_model_that_does_worse_is_found_out_and_the_one_before_comes_back() -> None:
    old, new = LastValue(), LastValue(bias=0.5)
    cycle = Cycle(old)
    run(cycle, LOAD[:70])
    cycle.crown(new)
    ticks = run(cycle, LOAD[:300], first=70)
    back = [tick.standing for tick in ticks].index(Standing.BACK)
    assert back < 150
    assert ticks[back - 1].forecasts["orders"].at(1, 0.5) == pytest.approx(1.5 * LOAD[70 + back - 1], rel=1e-5)
    assert ticks[back].forecasts["orders"].at(1, 0.5) == pytest.approx(LOAD[70 + back], rel=1e-5)
    assert {tick.standing for tick in ticks[back + 1 :]} == {None}


def test_a_crowned_model_that_breaks_costs_no_minute() -> None:
    """The one before answers in the same minute."""
    old, new = LastValue(), LastValue()
    cycle = Cycle(old)
    run(cycle, LOAD[:70])
    cycle.crown(new)
    new.broken = True
    tick = cycle.minute(70, histories({"orders": LOAD[:71]}))
    assert tick.forecasts["orders"].at(1, 0.5) == pytest.approx(LOAD[70], rel=1e-5)
    assert tick.standing is Standing.BACK


def test_a_model_without_one_before_it_raises_and_goes_on_when_it_is_whole_again() -> None:
    model = LastValue()
    cycle = Cycle(model)
    run(cycle, LOAD[:70])
    model.broken = True
    with pytest.raises(ForecastUnusable):
        cycle.minute(70, histories({"orders": LOAD[:71]}))
    model.broken = False
    assert cycle.minute(71, histories({"orders": LOAD[:72]})).forecasts


def test_absurd_loads_are_gaps() -> None:
    """A counter that was reset gives less than nothing, a broken one infinity."""
    cycle = Cycle(LastValue())
    run(cycle, LOAD[:70])
    tick = cycle.minute(70, histories({"orders": [*LOAD[:70], float("inf")]}))
    assert not tick.outcome.known.any()
    assert not cycle.minute(71, histories({"orders": [*LOAD[:70], -5.0, -7.0]})).outcome.known.any()


def test_factors_survive_a_change_of_leader_and_a_slice_that_is_renamed_begins_anew() -> None:
    before = Cycle(LastValue(0.01))
    run(before, LOAD[:300])
    after = Cycle(LastValue(0.01))
    after.start_from(["orders", "baskets"], before.factors())
    assert after.factors()["orders"] == before.factors()["orders"]
    assert set(after.factors()["baskets"]) == {0.0}


def test_no_slice_at_all_is_no_forecast_and_no_error() -> None:
    empty = histories({"orders": LOAD[:60]}).only(np.array([False]))
    assert isinstance(empty, Histories)
    assert Cycle(LastValue()).minute(60, empty).forecasts == {}
