"""The challenger's fit: its slope is the loss's own, it learns what changed, and too little data is refused."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.ttm.challenger import SAMPLES_MIN, FitPolicy, Samples, fit, loss_and_slope
from controllers.ttm.errors import TrainingDataTooShort
from controllers.ttm.head import Head
from controllers.ttm.schema import HORIZONS, QUANTILES

FEATURES = 6
CELLS = HORIZONS * len(QUANTILES)


def head(seed: int, size: float = 0.3) -> Head:
    chance = np.random.default_rng(seed)
    return Head(
        weight=chance.normal(0, size, (CELLS, FEATURES)).astype(np.float32),
        bias=chance.normal(0, size, CELLS).astype(np.float32),
    )


def samples(count: int, seed: int, *, level: float = 100.0, noise: float = 5.0) -> Samples:
    """Slices around 100 requests a minute, as a model would see them that knows so."""
    chance = np.random.default_rng(seed)
    unit = np.full((count, 1), 100.0)
    place = [np.arcsinh(unit / unit), np.full((count, 1), 0.1), np.zeros((count, 1))]
    return Samples(
        features=chance.normal(0, 1, (count, FEATURES)).astype(np.float32),
        normalisation=np.hstack([unit, *place]).astype(np.float32),
        target=chance.normal(level, noise, (count, HORIZONS)).astype(np.float32),
    )


def test_the_slope_is_that_of_the_loss() -> None:
    """A slope that is wrong by a sign still goes down now and then, and never arrives."""
    some, champion, now = samples(40, 1), head(1), head(2)
    some.target[3, 4] = np.nan
    _, slope = loss_and_slope(now, champion, some, near=0.1)
    for cell, feature in ((0, 0), (3, 1), (5, 2), (7, 3), (42, 4), (79, 5)):
        small = np.zeros_like(now.weight)
        small[cell, feature] = 2e-2
        there, back = (
            loss_and_slope(Head(weight=now.weight + sign * small, bias=now.bias), champion, some, near=0.1)[0]
            for sign in (1, -1)
        )
        found = slope[cell * FEATURES + feature]
        assert (there - back) / 4e-2 == pytest.approx(found, rel=0.08, abs=2e-5)


POLICY = FitPolicy(steps=75, batch=128, rate=2e-2, near=0.0)


def test_it_learns_what_has_changed() -> None:
    champion = fit(POLICY, head(1), samples(1_500, 1), samples(400, 2)).head
    moved = fit(POLICY, champion, samples(1_500, 3, level=115), samples(400, 4, level=115))
    assert moved.after < 0.7 * moved.before
    assert moved.steps > 0


def test_where_nothing_has_changed_the_pull_keeps_the_champion_near() -> None:
    near = FitPolicy(steps=75, batch=128, rate=2e-2, near=1.0)
    champion = fit(POLICY, head(1), samples(1_500, 1), samples(400, 2)).head
    again = fit(near, champion, samples(1_500, 3), samples(400, 4))
    assert np.abs(again.head.weight - champion.weight).max() < 0.1
    assert again.after <= again.before


def test_the_same_samples_and_seed_give_the_same_head() -> None:
    once, twice = (fit(POLICY, head(1), samples(1_500, 1), samples(400, 2)).head for _ in range(2))
    assert np.array_equal(once.weight, twice.weight)


def test_too_little_data_is_refused_with_how_much_there_is() -> None:
    with pytest.raises(TrainingDataTooShort, match=rf"{SAMPLES_MIN - 1} .*{SAMPLES_MIN}"):
        fit(POLICY, head(1), samples(SAMPLES_MIN - 1, 1), samples(400, 2))
