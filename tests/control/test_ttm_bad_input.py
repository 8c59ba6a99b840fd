"""What minutes can look like when something is wrong: forecasts go on or are missing, and nothing is learnt of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from controllers.ttm.live import Span
from tests.control.forecast_world import MINUTE, GivenMinutes, World

pytestmark = pytest.mark.anyio

STEADY = 600.0


class OddMinutes(GivenMinutes):
    """600 calls in each minute but those that are told to be odd."""

    def __init__(self, odd: dict[int, float]) -> None:
        super().__init__(orders=STEADY)
        self._odd = odd

    async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]:
        return [[self._odd.get(span.first + at, STEADY) for at in range(span.minutes)] for span in spans]


@pytest.mark.parametrize("jump", [1, -1], ids=["ahead", "back"])
async def test_a_clock_that_jumps_days_and_comes_back_costs_no_minute_and_teaches_nothing(
    tmp_path: Path, jump: int
) -> None:
    world = World(tmp_path)
    await world.tick(30)
    before = world.answers[-1].factors
    await world.tick(first=MINUTE + 30 + jump * 5_000)
    assert world.median() == STEADY
    assert world.answers[-1].factors == before, "nothing was said of that minute, so nothing came of it"
    await world.tick(10, first=MINUTE + 31)
    assert (world.median(), world.state().state) == (STEADY, "working")
    assert not world.drifted
    assert all(map(math.isfinite, world.answers[-1].factors["orders"]))


@pytest.mark.parametrize("odd", [1_000 * STEADY, 0.0, -5.0, math.inf, math.nan], ids=str)
async def test_one_absurd_minute_is_over_with_the_next_and_is_no_drift(tmp_path: Path, odd: float) -> None:
    """A spike of a thousand times, a counter that was reset, one that ran backwards, and what is no number."""
    world = World(tmp_path, minutes=OddMinutes({MINUTE + 40: odd}))
    await world.tick(60)
    assert (world.median(), world.state().state) == (STEADY, "working")
    assert not world.drifted
    assert max(map(abs, world.answers[-1].factors["orders"])) < 1.0


async def test_minutes_that_nobody_measured_have_no_forecast_and_those_behind_them_do(tmp_path: Path) -> None:
    world = World(tmp_path, minutes=OddMinutes({MINUTE + 20 + at: math.nan for at in range(10)}))
    found = []
    for at in range(34):
        await world.tick(first=MINUTE + at)
        found.append(world.median() is not None)
    missing = [at for at, known in enumerate(found) if not known]
    assert missing == list(range(22, 30)), "none of the last three minutes is known"
    assert world.state().state == "working"
    assert [len(world.jobs), len(found) - len(missing)] == [26, 26], "no process is started for nothing"


async def test_a_slice_that_is_renamed_begins_anew_and_the_old_name_is_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick(30)
    assert world.answers[-1].factors["orders"][0] < 0
    world.minutes.known["baskets"] = world.minutes.known.pop("orders")
    await world.tick(first=MINUTE + 30)
    assert (world.median("orders"), world.median("baskets")) == (None, STEADY)
    assert not world.live.said("orders")
    assert set(world.answers[-1].factors["baskets"]) == {0.0}
    assert set(world.answers[-1].factors) == {"baskets", "stock"}
