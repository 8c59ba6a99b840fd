"""Calibration: bands cover what they say whatever the model does, and nothing that is not known moves them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.ttm.calibration import Calibration, CalibrationPolicy, Floats, stretched

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
AWAY = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64, 2.33])
MIDDLE = 3


def bands(medians: list[float], width: float, horizons: int) -> Floats:
    """Normal quantiles of that width around each slice's median, alike for every horizon."""
    one = np.maximum(np.array(medians)[:, None, None] + width * AWAY, 0.0)
    return np.broadcast_to(one, (len(medians), horizons, len(LEVELS))).copy()


def coverage_of(width: float, *, minutes: int = 1_500, horizons: int = 3) -> Floats:
    """By horizon, of a load with deviation 10 that a model believes to have `width`."""
    chance = np.random.default_rng(5)
    calibration = Calibration(horizons=horizons)
    calibration.keep(["orders"])
    hits, known = np.zeros(horizons), np.zeros(horizons)
    for minute in range(minutes):
        outcome = calibration.observe(minute, np.array([max(0.0, 100 + chance.normal(0, 10))]))
        calibration.issue(minute, bands([100.0], width, horizons), LEVELS)
        if minute >= minutes // 3:
            hits, known = hits + outcome.covered[0], known + outcome.known[0]
    return hits / known


@pytest.mark.parametrize("width", [3.0, 10.0, 40.0])
def test_bands_cover_ninety_percent_of_a_model_that_is_too_sure_right_or_unsure(width: float) -> None:
    assert coverage_of(width) == pytest.approx(0.9, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0.0, 50.0, 100.0, 5_000.0]), min_size=20, max_size=80))
def test_misses_and_factor_always_balance(loads: list[float]) -> None:
    """What was missed beyond the wanted part stands in the factor; that is why the long run comes out right."""
    calibration = Calibration(horizons=1, policy=CalibrationPolicy(log_max=1e9))
    calibration.keep(["orders"])
    misses = 0.0
    for minute, load in enumerate(loads):
        outcome = calibration.observe(minute, np.array([load]))
        misses += float((outcome.known & ~outcome.covered).sum() - 0.1 * outcome.known.sum())
        calibration.issue(minute, bands([100.0], 10.0, 1), LEVELS)
    assert float(calibration.log_factors[0, 0]) == pytest.approx(0.06 * misses)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1e6), st.floats(0, 1e5), st.floats(-3, 3))
def test_stretched_quantiles_never_cross_nor_fall_below_nothing(median: float, width: float, log_factor: float) -> None:
    found = stretched(bands([median], width, 2), np.full((1, 2), log_factor), MIDDLE)
    assert (np.diff(found, axis=-1) >= 0).all()
    assert (found >= 0).all()
    assert found[..., MIDDLE] == pytest.approx(np.full((1, 2), median))


def test_a_band_without_width_gets_one_so_that_it_can_grow() -> None:
    found = stretched(bands([100.0], 0.0, 1), np.zeros((1, 1)), MIDDLE)
    assert found[0, 0, 0] < 100.0 < found[0, 0, -1]


def test_minutes_without_load_or_without_a_forecast_move_nothing() -> None:
    calibration = Calibration(horizons=2)
    calibration.keep(["orders"])
    assert not calibration.observe(0, np.array([100.0])).known.any()
    calibration.issue(0, bands([100.0], 10.0, 2), LEVELS)
    assert not calibration.observe(1, np.array([np.nan])).known.any()
    assert not calibration.observe(50, np.array([100.0])).known.any(), "the clock jumped: no band speaks of this minute"
    assert not calibration.log_factors.any()


def test_each_horizon_is_judged_by_the_forecast_that_was_made_so_long_ago() -> None:
    calibration = Calibration(horizons=2)
    calibration.keep(["orders"])
    calibration.issue(0, bands([100.0], 1.0, 2), LEVELS)
    calibration.observe(1, np.array([100.0]))
    calibration.issue(1, bands([500.0], 1.0, 2), LEVELS)
    outcome = calibration.observe(2, np.array([100.0]))
    assert outcome.covered.tolist() == [[False, True]], "one minute ahead said 500, two minutes ahead said 100"


def test_a_slice_keeps_its_factor_when_others_come_and_go() -> None:
    calibration = Calibration(horizons=1)
    calibration.keep(["orders", "stock"])
    calibration.issue(0, bands([100.0, 100.0], 10.0, 1), LEVELS)
    calibration.keep(["carts", "stock"])
    calibration.observe(1, np.array([100.0, 900.0]))
    assert calibration.log_factors[:, 0] == pytest.approx([0.0, 0.06 * 0.9])
    calibration.keep(["stock"])
    assert calibration.log_factors[:, 0] == pytest.approx([0.06 * 0.9])


def test_a_new_leader_goes_on_with_what_was_learnt_and_passes_over_what_is_no_factor() -> None:
    calibration = Calibration(horizons=2)
    calibration.keep(["orders", "stock", "carts"])
    calibration.start_from({"orders": [0.5, 99.0], "stock": [1.0], "carts": [float("nan"), 0.0], "gone": [1.0, 1.0]})
    assert calibration.log_factors.tolist() == [[0.5, 3.0], [0.0, 0.0], [0.0, 0.0]]
