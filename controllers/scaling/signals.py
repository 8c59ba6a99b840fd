"""Signals of one slice's load: from its requests in each second to what rules look at."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

SMOOTH_TAU_S: Final = 10.0
WINDOW_S: Final = 600
MINUTES: Final = 60
TINY: Final = 1e-6
FEATURES: Final = (
    "slope_30s",
    "slope_120s",
    "slope_600s",
    "noise_60s",
    "rate_vs_10min_max",
    "rate_vs_60min_max",
    "day_ago_ratio",
    "day_ago_known",
    "forecast_p50_ratio",
    "forecast_p95_ratio",
    "forecast_p99_ratio",
)
"""Slopes and ratios are parts of the present rate: 0.5 is half of it (slopes: half more). A forecast's are those of the
highest of the next two minutes; 0 while there is none."""
LIMITS: Final = (-5.0, 20.0)


class LoadSignals:
    """Fed once a second; constant time and about 20 kB a slice."""

    def __init__(self) -> None:
        self.rate = 0.0
        """Requests a second, as an exponential average over ten seconds."""
        self._share = 1.0 - math.exp(-1.0 / SMOOTH_TAU_S)
        self._sums = [0.0] * (WINDOW_S + 1)  # prefix sums of the rate, as a ring
        self._squares = [0.0] * (WINDOW_S + 1)
        self._seconds = 0
        self._minute_max = 0.0
        self._maxima: deque[float] = deque(maxlen=MINUTES)  # of whole minutes, the newest last

    @property
    def is_warm(self) -> bool:
        """Whether the whole window is filled: rules do not judge slopes before."""
        return self._seconds >= WINDOW_S

    def take(self, requests: float) -> None:
        """One more second in which so many requests came."""
        self.rate = requests if not self._seconds else self.rate + self._share * (requests - self.rate)
        size, at = WINDOW_S + 1, self._seconds
        before, after = at % size, (at + 1) % size
        self._sums[after] = self._sums[before] + self.rate
        self._squares[after] = self._squares[before] + self.rate * self.rate
        self._seconds += 1
        self._minute_max = max(self._minute_max, self.rate)
        if self._seconds % 60 == 0:
            self._maxima.append(self._minute_max)
            self._minute_max = 0.0

    def features(
        self, *, day_ago_ratio: float | None = None, forecast: tuple[float, float, float] | None = None
    ) -> tuple[float, ...]:
        """In the order of FEATURES. day_ago_ratio: how the rate went on in these minutes a day ago. forecast: median,
        95th and 99th percentile of the highest rate in the next two minutes, requests a second."""
        rate = self.rate + TINY
        p50, p95, p99 = forecast if forecast is not None else (0.0, 0.0, 0.0)
        found = (
            self.rate / (self._mean(40, 20) + TINY) - 1.0,
            self.rate / (self._mean(150, 90) + TINY) - 1.0,
            self.rate / (self._mean(600, 480) + TINY) - 1.0,
            math.sqrt(max(0.0, self._mean_square(60) - self._mean(60, 0) ** 2)) / rate,
            rate / (self._highest(10) + TINY),
            rate / (self._highest(MINUTES) + TINY),
            1.0 if day_ago_ratio is None else day_ago_ratio,
            0.0 if day_ago_ratio is None else 1.0,
            p50 / rate,
            p95 / rate,
            p99 / rate,
        )
        low, high = LIMITS
        return tuple(min(high, max(low, value)) for value in found)

    def _mean(self, since_s: int, until_s: int) -> float:
        """Of the rate from `since_s` to `until_s` seconds ago; of what there is while the window fills."""
        size, at = WINDOW_S + 1, self._seconds
        first, last = max(0, at - since_s, at - WINDOW_S), max(1, at - until_s)
        if last <= first:
            return self.rate
        return (self._sums[last % size] - self._sums[first % size]) / (last - first)

    def _mean_square(self, since_s: int) -> float:
        size, at = WINDOW_S + 1, self._seconds
        first = max(0, at - since_s)
        return (self._squares[at % size] - self._squares[first % size]) / max(1, at - first)

    def _highest(self, minutes: int) -> float:
        """Of the last whole minutes; the present rate before there are any."""
        known = [*self._maxima][-minutes:]
        return max(known) if known else self.rate
