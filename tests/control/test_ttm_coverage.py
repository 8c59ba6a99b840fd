"""The report on coverage: what it calls the worst half day is that, and bands that do not keep their word are named."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from controllers.ttm.corpus import Series
from evals.forecasts.coverage import Coverage, coverage, worst
from tests.unit.ttm_parts import LastValue


def test_the_worst_window_is_the_least_mean_of_all_neighbours() -> None:
    hits = (np.random.default_rng(1).random(200) < 0.9).astype(float)
    assert worst(hits, 30) == pytest.approx(min(hits[at : at + 30].mean() for at in range(171)))
    unknown = np.insert(hits, 50, np.nan)
    assert worst(unknown, 30) == pytest.approx(worst(hits, 30))
    assert worst(hits[:20], 30) == pytest.approx(hits[:20].mean())


def test_a_model_that_is_too_sure_is_out_of_bounds_alone_and_within_them_calibrated() -> None:
    load = np.abs(np.random.default_rng(2).normal(600, 30, 1_500))
    found = coverage(Series(name="noise", load=load, season=300), LastValue(0.03))
    assert max(found.raw) < 0.8
    assert found.within, found
    assert min(found.width) > 1


@pytest.mark.parametrize("spoilt", [{"calibrated": (0.9, 0.87)}, {"calibrated": (0.93, 0.9)}, {"worst": (0.9, 0.79)}])
def test_one_horizon_beyond_the_bounds_is_enough(spoilt: dict[str, tuple[float, ...]]) -> None:
    found = Coverage(trace="a", minutes=9, raw=(0.5, 0.5), calibrated=(0.9, 0.9), worst=(0.85, 0.85), width=(1.0, 1.0))
    assert found.within
    assert not msgspec.structs.replace(found, **spoilt).within
