"""How fast an error budget is used up over hours and days, from the history of minutes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import pytest

from controllers.context.errors import HistoryAway
from controllers.context.history_file import Span
from controllers.scaling.burning import STEP_MINUTES, SlowBurns
from controllers.scaling.figures import rate_of
from tests.unit.gate_parts import HandClock

pytestmark = pytest.mark.anyio

HOUR = 60
DAY = 24 * HOUR


class HandHistory:
    """Of one slice: calls and the share of errors, by minute."""

    def __init__(self) -> None:
        self.minutes: dict[int, tuple[float, float]] = {}
        self.is_away = False
        self.read = 0

    async def load(self, spans: Sequence[Span]) -> list[array[float]]:
        if self.is_away:
            raise HistoryAway("a test")
        self.read += sum(span.minutes for span in spans)
        unknown = (math.nan, math.nan)
        return [
            array(
                "f",
                [
                    self.minutes.get(minute, unknown)[span.column == "error_rate"]
                    for minute in range(span.first, span.first + span.minutes)
                ],
            )
            for span in spans
        ]


class Hand:
    def __init__(self) -> None:
        self.clock, self.history = HandClock(), HandHistory()
        self.names = ["orders"]
        self.burns = SlowBurns(history=self.history, slices=lambda: self.names, clock=self.clock)

    @property
    def minute(self) -> int:
        """The one under way, of which nothing is known yet."""
        return self.clock.unix_ms() // 60_000

    def passed(self, minutes: int, *, calls: float = 100.0, errors: float = 0.0) -> None:
        """Of so many minutes, the newest, what was kept."""
        for minute in range(self.minute - minutes, self.minute):
            self.history.minutes[minute] = (calls, errors if calls else math.nan)

    def burn(self, metric: str) -> float | None:
        return rate_of(self.burns.errors_share("orders", metric), 0.999)


async def test_errors_of_days_are_told_beside_those_of_hours() -> None:
    """Three days at twice the pace, then three hours without any: over six hours half, over three days as before."""
    hand = Hand()
    hand.passed(3 * DAY + 60, errors=0.002)
    hand.passed(3 * HOUR)
    await hand.burns.look()
    assert hand.burn("slo_burn_6h") == pytest.approx(1.0, rel=0.05)
    assert hand.burn("slo_burn_3d") == pytest.approx(2.0 * 69 / 72, rel=0.02)


async def test_a_slice_that_is_new_has_used_up_little_however_much_of_it_fails() -> None:
    """Else five bad minutes of a first deployment would be an alert about days."""
    hand = Hand()
    hand.passed(HOUR, errors=0.01)
    await hand.burns.look()
    assert hand.burn("slo_burn_6h") == pytest.approx(10.0 / 6, rel=0.02)
    assert hand.burn("slo_burn_3d") == pytest.approx(10.0 / 72, rel=0.02)


async def test_hours_without_calls_are_known_and_no_calls_at_all_are_not() -> None:
    hand = Hand()
    hand.passed(6 * HOUR, calls=0.0)
    await hand.burns.look()
    assert hand.burn("slo_burn_6h") is None
    hand.passed(HOUR, errors=0.003)
    await hand.burns.look(anew=True)
    assert hand.burn("slo_burn_6h") == pytest.approx(3.0, rel=0.05)
    assert hand.burns.errors_share("nothing", "slo_burn_6h") is None


async def test_each_minute_only_what_is_new_is_read_and_what_was_filled_meanwhile_within_the_hour() -> None:
    hand = Hand()
    hand.passed(6 * HOUR)
    await hand.burns.look()
    hand.history.read = 0
    hand.clock.now_ms += 60_000
    hand.passed(1, calls=36_000.0, errors=1.0)
    await hand.burns.look()
    assert hand.history.read == 2 * 2 * STEP_MINUTES
    assert hand.burn("slo_burn_6h") == pytest.approx(500.0, rel=0.05)
    hand.passed(3 * DAY, errors=0.001)
    await hand.burns.look()
    assert (hand.burn("slo_burn_3d") or 0.0) < 0.1
    await hand.burns.look(anew=True)
    assert hand.burn("slo_burn_3d") == pytest.approx(1.0, rel=0.01)


async def test_a_history_that_is_away_leaves_what_was_known() -> None:
    hand = Hand()
    hand.passed(6 * HOUR, errors=0.001)
    await hand.burns.look()
    hand.history.is_away = True
    await hand.burns.look(anew=True)
    assert hand.burn("slo_burn_6h") == pytest.approx(1.0, rel=0.05)
    hand.names = []
    await hand.burns.look()
    assert hand.burn("slo_burn_6h") is None
