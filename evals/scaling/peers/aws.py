"""AWS target tracking with detailed monitoring: two alarms on minutes, and a warm-up."""

from __future__ import annotations

import math
from typing import Final

from evals.scaling.policy import Past, Seen

MINUTE_S: Final = 60
ABOVE_MINUTES: Final = 3
BELOW_MINUTES: Final = 15
BELOW: Final = 0.9  # it shrinks only when that far below its target
WARM_UP_S: Final = 300


class TargetTracking:
    """Three minutes above the target: out, in proportion; fifteen below 90 % of it: in, not within the warm-up."""

    def __init__(self, past: Past, *, target: float) -> None:
        self._target = target
        self._above = self._below = 0
        self._grew_at = -WARM_UP_S

    def wanted(self, seen: Seen) -> int:
        at = seen.at_s
        if at % MINUTE_S or not at:
            return seen.current
        utilisation = float(seen.utilisation[at - MINUTE_S : at].mean())
        self._above = self._above + 1 if utilisation > self._target else 0
        self._below = self._below + 1 if utilisation < BELOW * self._target else 0
        if self._above >= ABOVE_MINUTES:
            wanted = max(seen.current, math.ceil(seen.serving * utilisation / self._target))
            if wanted > seen.current:
                self._grew_at = at
            return wanted
        if self._below >= BELOW_MINUTES and at - self._grew_at >= WARM_UP_S:
            return max(1, math.ceil(seen.current * utilisation / self._target))
        return seen.current
