"""What a day ago tells of the minutes to come, from nothing but minutes that are over."""

from __future__ import annotations

from controllers.scaling.signals import AHEAD_MINUTES, BEFORE_MINUTES, day_ago_ratio
from evals.scaling.arrivals import MINUTE_S
from evals.scaling.traces import Floats


def minute_means(arrivals: Floats) -> Floats:
    """Requests a second in each whole minute."""
    means: Floats = arrivals.reshape(-1, MINUTE_S).mean(axis=1)
    return means


def a_day_ago(minutes: Floats, season: int, at_s: int) -> float | None:
    """The production function on the minutes around this one a day ago; None on the first day."""
    first = at_s // MINUTE_S - season - BEFORE_MINUTES
    return day_ago_ratio(minutes[first : first + BEFORE_MINUTES + AHEAD_MINUTES].tolist()) if first >= 0 else None
