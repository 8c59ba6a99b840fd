"""What one instance carries when it is always busy, learnt from what its calls take."""

from __future__ import annotations

import math
from typing import Final

from runtime.telemetry.figures import SliceFigures

CALLS_MIN: Final = 20  # before anything is said
MEMORY_S: Final = 60.0  # after which a second counts a third
MICROSECONDS: Final = 1e6


class ServiceRate:
    """Two limits, and the lower one holds: the calls that an instance takes at once over how long each takes, and one
    core over what each takes of it. Both are sums that fade, so that a second of few calls weighs little."""

    def __init__(self) -> None:
        self._keep = math.exp(-1.0 / MEMORY_S)
        self._calls = self._busy_s = self._cpu_s = self._slots = 0.0

    def take(self, figures: SliceFigures) -> None:
        instances = sum(each.instances for each in figures.versions.values())
        slots = sum(each.slots for each in figures.versions.values())
        if not figures.calls or not instances or not slots:
            return
        self._calls = self._keep * self._calls + figures.calls
        self._busy_s = self._keep * self._busy_s + figures.busy_us / MICROSECONDS
        self._cpu_s = self._keep * self._cpu_s + figures.cpu_s
        self._slots = slots / instances

    @property
    def rate_per_instance(self) -> float:
        """Requests a second; 0 while too little is known."""
        if self._calls < CALLS_MIN or self._busy_s <= 0:
            return 0.0
        by_slots = self._slots * self._calls / self._busy_s
        return min(by_slots, self._calls / self._cpu_s) if self._cpu_s > 0 else by_slots
