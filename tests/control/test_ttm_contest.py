"""The contest: doubt favours the champion, and a crown is given back when life shows that it was wrong."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.ttm.contest import BLOCK, ContestPolicy, Losses, Probation, Ruling, judge, pinball
from controllers.ttm.standing import Standing

POLICY = ContestPolicy()
HOURS = 24


def losses(ratio: float, *, hours: int = HOURS, noise: float = 0.0, seed: int = 1) -> Losses:
    """The challenger loses `ratio` times what the champion does, in each hour a little more or less."""
    chance = np.random.default_rng(seed)
    champion = np.abs(chance.normal(1.0, 0.2, hours * BLOCK))
    hourly = np.repeat(chance.normal(0.0, noise, hours), BLOCK)
    return Losses(champion=champion, challenger=champion * ratio + hourly)


def ruling(recent: Losses, longer: Losses | None = None, older: Losses | None = None) -> Ruling:
    return judge(POLICY, recent=recent, longer=longer or losses(0.97), older=older or losses(1.0)).ruling


def test_one_that_is_better_on_what_it_never_saw_is_crowned() -> None:
    verdict = judge(POLICY, recent=losses(0.95), longer=losses(0.97), older=losses(1.005))
    assert verdict.crowned
    assert (verdict.recent, verdict.longer, verdict.older) == pytest.approx((0.95, 0.97, 1.005))


@pytest.mark.parametrize(
    ("recent", "longer", "older", "why"),
    [
        (losses(0.999), losses(0.9), losses(0.9), Ruling.NO_GAIN),
        (losses(0.99, noise=0.3), losses(0.9), losses(0.9), Ruling.GAIN_UNSURE),
        (losses(0.9, hours=POLICY.blocks_min - 1), losses(0.9), losses(0.9), Ruling.TOO_LITTLE_DATA),
        (losses(0.9), losses(1.02), losses(0.9), Ruling.WORSE_LONGER),
        (losses(0.9), losses(0.9), losses(1.02), Ruling.WORSE_OLDER),
    ],
)
def test_doubt_favours_the_champion(recent: Losses, longer: Losses, older: Losses, why: Ruling) -> None:
    """Ungated re-training made forecasts up to 45 % worse where nothing had changed."""
    assert ruling(recent, longer, older) is why


@pytest.mark.parametrize("absurd", [float("nan"), float("inf")])
def test_one_that_cannot_always_forecast_is_never_crowned(absurd: float) -> None:
    broken = losses(0.5)
    broken.challenger[100] = absurd
    assert ruling(broken) is Ruling.NOT_FINITE
    assert ruling(losses(0.9), older=broken) is Ruling.NOT_FINITE


def test_samples_that_neither_could_forecast_do_not_count() -> None:
    some = losses(0.9)
    some.champion[:60], some.challenger[:60] = np.nan, np.nan
    assert ruling(some) is Ruling.CROWNED


def live(before: list[float], now: list[float]) -> list[Standing]:
    probation = Probation(POLICY)
    return [probation.observe(before=old, now=new) for old, new in zip(before, now, strict=True)]


def noisy(mean: float, minutes: int, seed: int) -> list[float]:
    return np.abs(np.random.default_rng(seed).normal(mean, 0.1, minutes)).tolist()


def test_a_crown_is_given_back_within_hours_when_it_does_worse_live() -> None:
    standings = live(noisy(1.0, 600, 1), noisy(1.1, 600, 2))
    assert standings.index(Standing.BACK) < 4 * BLOCK


def test_it_is_kept_after_a_day_when_it_does_no_worse() -> None:
    standings = live(noisy(1.0, POLICY.probation_minutes, 1), noisy(0.99, POLICY.probation_minutes, 2))
    assert standings == [Standing.ON_PROBATION] * (POLICY.probation_minutes - 1) + [Standing.KEPT]


def test_one_that_gives_no_number_where_the_other_did_goes_at_once() -> None:
    assert live([1.0, float("nan"), 1.0], [1.0, float("nan"), float("nan")])[-2:] == [
        Standing.ON_PROBATION,
        Standing.BACK,
    ]


def test_pinball_loss_is_the_absolute_error_at_the_median_and_passes_over_gaps() -> None:
    quantiles = np.array([[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]])
    levels = np.array([0.25, 0.5, 0.75])
    by_hand = 2 * np.mean([0.25 * 4, 0.5 * 3, 0.75 * 2])
    assert pinball(quantiles, levels, np.array([[5.0, np.nan]])) == pytest.approx([by_hand])
    assert pinball(quantiles[..., 1:2], levels[1:2], np.array([[0.0, 5.0]])) == pytest.approx([2.5])
    assert np.isnan(pinball(quantiles, levels, np.full((1, 2), np.nan))).all()
