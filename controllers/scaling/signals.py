"""Signals of one slice's load: from its requests in each second to what rules look at."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final

SMOOTH_TAU_S: Final = 10.0
SURGE_S: Final = 3  # a load that has risen this long is not chance
WINDOW_S: Final = 600
MINUTES: Final = 60
BEFORE_MINUTES: Final = 10  # a day ago, that are compared with
AHEAD_MINUTES: Final = 3  # these after them
DAY_TAU_S: Final = 86_400.0
TINY: Final = 1e-6
FEATURES: Final = (
    "slope_10s",
    "slope_30s",
    "slope_120s",
    "slope_300s",
    "slope_600s",
    "noise_60s",
    "jump_1s",
    "jump_3s",
    "rate_vs_60s_mean",
    "rate_vs_10min_mean",
    "rate_vs_60min_mean",
    "rate_vs_day_mean",
    "rate_vs_10min_max",
    "rate_vs_60min_max",
    "day_ago_ratio",
    "day_ago_known",
    "day_ago_level",
    "forecast_p50_ratio",
    "forecast_p95_ratio",
    "forecast_p99_ratio",
)
"""Slopes and ratios are parts of the present rate, smoothed: 0.5 is half of it (slopes: half more). Jumps are the last
second and the last three as they came. day_ago_level: the day-ago ratio applied to the mean of the last ten minutes. A
forecast's are those of the highest of the next two minutes; 0 while there is none."""
LIMITS: Final = (-5.0, 20.0)


class LoadSignals:
    """Fed once a second; constant time and about 17 kB a slice."""

    def __init__(self) -> None:
        self.smoothed = 0.0
        """Requests a second, as an exponential average over ten seconds."""
        self._share = 1.0 - math.exp(-1.0 / SMOOTH_TAU_S)
        self._sums = array("d", bytes(8 * (WINDOW_S + 1)))  # prefix sums of the smoothed rate, as a ring
        self._squares = array("d", self._sums)  # arrays: the collector walks all that a list holds
        self._last: deque[float] = deque(maxlen=SURGE_S)
        self._seconds = 0
        self._minute_max = self._minute_sum = 0.0
        self._maxima: deque[float] = deque(maxlen=MINUTES)  # of whole minutes, the newest last
        self._totals: deque[float] = deque(maxlen=MINUTES)
        self._highest_10 = self._highest_60 = self._total_60 = 0.0
        self._day_share = 1.0 - math.exp(-1.0 / DAY_TAU_S)
        self._day = self._day_weight = 0.0

    @property
    def rate(self) -> float:
        """Requests a second: smoothed, or the mean of the last three seconds where that is more, since a rise has to
        be seen at once and a fall can wait."""
        return max(self.smoothed, self._surge())

    @property
    def is_warm(self) -> bool:
        """Whether the whole window is filled: rules do not judge slopes before."""
        return self._seconds >= WINDOW_S

    def take(self, requests: float) -> None:
        """One more second in which so many requests came."""
        rate = requests if not self._seconds else self.smoothed + self._share * (requests - self.smoothed)
        size, at = WINDOW_S + 1, self._seconds
        before, after = at % size, (at + 1) % size
        self._sums[after] = self._sums[before] + rate
        self._squares[after] = self._squares[before] + rate * rate
        self._last.append(requests)
        self._seconds += 1
        self._minute_max = max(self._minute_max, rate)
        self._minute_sum += rate
        self._day += self._day_share * (rate - self._day)
        self._day_weight += self._day_share * (1.0 - self._day_weight)
        self.smoothed = rate
        if self._seconds % 60 == 0:
            self._close_minute()

    def features(
        self, *, day_ago_ratio: float | None = None, forecast: tuple[float, float, float] | None = None
    ) -> tuple[float, ...]:
        """In the order of FEATURES. day_ago_ratio: the highest of these minutes a day ago, over the mean of the ten
        before them. forecast: median, 95th and 99th percentile of the highest rate in the next two minutes, requests a
        second."""
        rate, mean_60, mean_600 = self.smoothed + TINY, self._mean(60, 0), self._mean(WINDOW_S, 0)
        p50, p95, p99 = forecast if forecast is not None else (0.0, 0.0, 0.0)
        found = (
            self.smoothed / (self._mean(20, 10) + TINY) - 1.0,
            self.smoothed / (self._mean(40, 20) + TINY) - 1.0,
            self.smoothed / (self._mean(150, 90) + TINY) - 1.0,
            self.smoothed / (self._mean(300, 240) + TINY) - 1.0,
            self.smoothed / (self._mean(600, 480) + TINY) - 1.0,
            math.sqrt(max(0.0, self._mean_square(60) - mean_60**2)) / rate,
            (self._last[-1] if self._last else 0.0) / rate,
            self._surge() / rate,
            rate / (mean_60 + TINY),
            rate / (mean_600 + TINY),
            rate / (self._hour_mean() + TINY),
            rate / (self._day / max(TINY, self._day_weight) + TINY),
            rate / ((self._highest_10 if self._maxima else self.smoothed) + TINY),
            rate / ((self._highest_60 if self._maxima else self.smoothed) + TINY),
            1.0 if day_ago_ratio is None else day_ago_ratio,
            0.0 if day_ago_ratio is None else 1.0,
            0.0 if day_ago_ratio is None else day_ago_ratio * mean_600 / rate,
            p50 / rate,
            p95 / rate,
            p99 / rate,
        )
        low, high = LIMITS
        return tuple([low if value < low else high if value > high else value for value in found])

    def _close_minute(self) -> None:
        if len(self._totals) == MINUTES:
            self._total_60 -= self._totals[0]
        self._total_60 += self._minute_sum
        self._totals.append(self._minute_sum)
        self._maxima.append(self._minute_max)
        self._minute_max = self._minute_sum = 0.0
        self._highest_10 = max([*self._maxima][-10:])
        self._highest_60 = max(self._maxima)

    def _surge(self) -> float:
        return sum(self._last) / SURGE_S if len(self._last) == SURGE_S else self.smoothed

    def _hour_mean(self) -> float:
        """Of the last sixty whole minutes and the one that runs."""
        seconds = 60 * len(self._totals) + self._seconds % 60
        return (self._total_60 + self._minute_sum) / seconds if seconds else self.smoothed

    def _mean(self, since_s: int, until_s: int) -> float:
        """Of the rate from `since_s` to `until_s` seconds ago; of what there is while the window fills."""
        size, at = WINDOW_S + 1, self._seconds
        first, last = at - min(since_s, WINDOW_S), at - until_s
        if first < 0:  # the window fills
            first, last = 0, max(1, last)
        if last <= first:
            return self.smoothed
        return (self._sums[last % size] - self._sums[first % size]) / (last - first)

    def _mean_square(self, since_s: int) -> float:
        size, at = WINDOW_S + 1, self._seconds
        first = max(0, at - since_s)
        return (self._squares[at % size] - self._squares[first % size]) / max(1, at - first)


def day_ago_ratio(minutes: Sequence[float]) -> float | None:
    """How the load went on a day ago: the highest of AHEAD_MINUTES over the mean of the BEFORE_MINUTES before them.

    minutes: [BEFORE_MINUTES + AHEAD_MINUTES], NaN where one is missing. None where all before or all ahead are, or none
    of those before had any load."""
    before = [value for value in minutes[:BEFORE_MINUTES] if not math.isnan(value)]
    ahead = [value for value in minutes[BEFORE_MINUTES:] if not math.isnan(value)]
    if not ahead or sum(before) <= 0.0:
        return None
    return max(ahead) * len(before) / sum(before)
