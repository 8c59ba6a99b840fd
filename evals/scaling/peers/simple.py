"""Rules that are no product: static, the predecessor's thresholds, seasonal naive, and those that know the future."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

import numpy as np

from evals.scaling.policy import Past, Seen

MINUTE_S: Final = 60
HOLD_S: Final = 60
UTILISATION: Final = 0.75  # that seasonal naive and perfect plan with
UP: Final = 0.8
DOWN: Final = 0.2


class Static:
    """What the 99th percentile of the load needs, all the time, known in hindsight."""

    def __init__(self, past: Past) -> None:
        self._count = past.service.needed(float(np.percentile(past.seconds, 99)))

    def wanted(self, _seen: Seen) -> int:
        return self._count


class Oracle:
    """The fewest instances of each minute, ordered as early as a start can take."""

    def __init__(self, past: Past) -> None:
        worst = past.seconds.reshape(-1, MINUTE_S).max(axis=1)
        self._needed = [past.service.needed(rate) for rate in worst]
        self._ahead_s = math.ceil(max(past.service.conditions.start_s))

    def wanted(self, seen: Seen) -> int:
        last = len(self._needed) - 1
        now, then = seen.at_s // MINUTE_S, (seen.at_s + self._ahead_s) // MINUTE_S
        return max(self._needed[min(last, minute)] for minute in range(now, then + 1))


class Thresholds:
    """One instance more above 80 % of CPU, one fewer below 20 %, with a cool-down: what the predecessor did."""

    def __init__(self, _past: Past, *, cool_down_s: int = 10) -> None:
        self._cool_down_s = cool_down_s
        self._changed_at = -cool_down_s

    def wanted(self, seen: Seen) -> int:
        if not seen.at_s or seen.at_s - self._changed_at < self._cool_down_s:
            return seen.current
        utilisation = float(seen.utilisation[seen.at_s])
        change = 1 if utilisation > UP else -1 if utilisation < DOWN else 0
        if change:
            self._changed_at = seen.at_s
        return max(1, seen.current + change)


class Planned(ABC):
    """A plan of rates by the minute, and a simple reaction below it: what differs is who makes the plan."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._recent: deque[int] = deque(maxlen=HOLD_S)

    @abstractmethod
    def rates(self, minute: int) -> tuple[float, float]:
        """The highest rate of the next two minutes and of the next five, as of the end of the minute before."""

    def wanted(self, seen: Seen) -> int:
        service = self._past.service
        soon, later = self.rates(seen.at_s // MINUTE_S)
        planned = _instances(soon, service.rate_per_instance)
        reacted = _instances(seen.rate, service.rate_per_instance)
        if seen.latency_p95_s > 0.8 * service.slo_s:
            reacted = max(reacted, _instances(seen.rate + seen.backlog / 15.0, service.rate_per_instance))
        needed = max(planned, reacted, 1)
        self._recent.append(needed)
        if needed >= seen.current or seen.at_s % 5:
            return max(needed, seen.current)
        return min(seen.current, max(*self._recent, _instances(later, service.rate_per_instance)))


class Perfect(Planned):
    """Knows the minutes to come: how much better a forecast could make it at all."""

    def rates(self, minute: int) -> tuple[float, float]:
        ahead = self._past.minutes[minute : minute + 5]
        return float(ahead[:2].max()), float(ahead.max())


class SeasonalNaive(Planned):
    """The same minutes of the day before, times how today compares with yesterday in the last ten minutes."""

    def rates(self, minute: int) -> tuple[float, float]:
        minutes, season, last = self._past.minutes, self._past.season, minute - 1
        if last - season - 10 < 0:
            return 0.0, 0.0
        today, before = minutes[last - 9 : last + 1].mean(), minutes[last - season - 9 : last - season + 1].mean()
        ratio = min(3.0, max(0.3, float(today) / max(float(before), 1e-6)))
        ahead = minutes[last - season + 1 : last - season + 6] * ratio
        return float(ahead[:2].max()), float(ahead.max())


def _instances(rate: float, rate_per_instance: float) -> int:
    return math.ceil(rate / (rate_per_instance * UTILISATION) - 1e-9)
