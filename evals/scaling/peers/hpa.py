"""Kubernetes' horizontal pod autoscaler v2 on CPU."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from evals.scaling.policy import Past, Seen

SYNC_S: Final = 15
METRIC_S: Final = 30  # the metrics server's window
METRIC_DELAY_S: Final = 15
TOLERANCE: Final = 0.1
DOWN_WINDOW_S: Final = 300
UP_FACTOR: Final = 2  # of the defaults: 100 % or four pods each 15 s, whichever is more
UP_COUNT: Final = 4


class Behaviour:
    """The default scaling behaviour: up by 100 % or four pods each 15 s, whichever is more; down to the highest
    recommendation of the last five minutes."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=DOWN_WINDOW_S // SYNC_S)

    def limited(self, recommended: int, current: int) -> int:
        self._recent.append(recommended)
        if recommended > current:
            return min(recommended, max(current * UP_FACTOR, current + UP_COUNT))
        return min(current, max(self._recent))


class Hpa:
    """desired = ceil(current x utilisation / target), within a tolerance; pods that are not ready count as idle when it
    would grow and not at all when it would shrink."""

    def __init__(self, past: Past, *, target: float) -> None:
        """target: of the mean utilisation, 0 to 1."""
        self._target = target
        self._behaviour = Behaviour()

    def wanted(self, seen: Seen) -> int:
        at = seen.at_s
        if at % SYNC_S or at < METRIC_S + METRIC_DELAY_S:
            return seen.current
        measured = seen.utilisation[at - METRIC_DELAY_S - METRIC_S : at - METRIC_DELAY_S]
        return self._behaviour.limited(self._raw(seen, float(measured.mean())), seen.current)

    def _raw(self, seen: Seen, utilisation: float) -> int:
        ratio = utilisation / self._target
        if abs(ratio - 1) <= TOLERANCE:
            return seen.current
        if ratio < 1:
            return min(seen.current, _ceil(ratio * seen.serving))
        if not seen.starting:
            return _ceil(ratio * seen.serving)
        damped = utilisation * seen.serving / seen.current / self._target
        return _ceil(damped * seen.current) if damped > 1 + TOLERANCE else seen.current


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-9)
