"""Knative's pod autoscaler (KPA) on concurrency, with its defaults."""

from __future__ import annotations

import math
from typing import Final

from evals.scaling.policy import Past, Seen

TICK_S: Final = 2
STABLE_S: Final = 60
PANIC_S: Final = 6
PANIC_THRESHOLD: Final = 2.0
UP_RATE_MAX: Final = 1_000
DOWN_RATE_MAX: Final = 2
TARGET: Final = 0.7  # of an instance's concurrency


class Knative:
    """The mean concurrency of a minute over the target; when that of six seconds is twice what is ready it panics: it
    only grows for a minute."""

    def __init__(self, past: Past) -> None:
        self._per_instance = past.service.workers * TARGET
        self._panicked_at = -STABLE_S
        self._panic_most = 0

    def wanted(self, seen: Seen) -> int:
        at = seen.at_s
        if at % TICK_S or at < STABLE_S:
            return seen.current
        ready = max(1, seen.serving)
        stable = math.ceil(float(seen.concurrency[at - STABLE_S + 1 : at + 1].mean()) / self._per_instance)
        panic = math.ceil(float(seen.concurrency[at - PANIC_S + 1 : at + 1].mean()) / self._per_instance)
        stable = max(stable, math.ceil(ready / DOWN_RATE_MAX) if ready > 1 else 1)
        panic = min(panic, ready * UP_RATE_MAX)
        if panic / ready >= PANIC_THRESHOLD:
            self._panicked_at = at
        if at - self._panicked_at < STABLE_S:
            self._panic_most = max(self._panic_most, panic, stable, seen.current)
            return self._panic_most
        self._panic_most = 0
        return max(1, stable)
