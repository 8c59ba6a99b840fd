"""What a day ago tells of the minutes to come, from nothing but minutes that are over."""

from __future__ import annotations

from typing import Final

from evals.scaling.arrivals import MINUTE_S
from evals.scaling.traces import Floats

AHEAD_MINUTES: Final = 3
BEFORE_MINUTES: Final = 10
TINY: Final = 1e-6


def minute_means(arrivals: Floats) -> Floats:
    """Requests a second in each whole minute."""
    means: Floats = arrivals.reshape(-1, MINUTE_S).mean(axis=1)
    return means


def day_ago_ratio(minutes: Floats, season: int, at_s: int) -> float | None:
    """The highest of this minute and two more a day ago, over the mean of the ten before; None on the first day."""
    at = at_s // MINUTE_S - season
    if at < 1:
        return None
    before = minutes[max(0, at - BEFORE_MINUTES) : at]
    return float(minutes[at : at + AHEAD_MINUTES].max()) / (float(before.mean()) + TINY)
