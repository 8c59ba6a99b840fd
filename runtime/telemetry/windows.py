"""Recent figures in float32 rings: each second for ten minutes, each ten seconds for two hours."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Final

FINE_S: Final = 1
FINE_COUNT: Final = 600
COARSE_S: Final = 10
COARSE_COUNT: Final = 720
SERIES: Final = ("calls", "errors", "rejected", "p50_ms", "p95_ms", "p99_ms", "instances")
# 7 series x (600 + 720) x 4 bytes = 37 kB a slice
MEANS: Final = frozenset({"p50_ms", "p95_ms", "p99_ms", "instances"})  # the others are counts: they add up


class Ring:
    """The newest `count` values, one per step; NaN is missing, also for steps that nobody recorded."""

    __slots__ = ("_at", "_values", "step_s")

    def __init__(self, step_s: int, count: int) -> None:
        self.step_s = step_s
        self._values = array("f", [math.nan]) * count
        self._at = -1  # the newest step's number

    def put(self, at_s: int, value: float) -> None:
        step, count = at_s // self.step_s, len(self._values)
        if step > self._at:
            for missing in range(max(self._at + 1, step - count + 1), step):
                self._values[missing % count] = math.nan
            self._at = step
        if step > self._at - count:
            self._values[step % count] = value

    def newest(self, count: int) -> list[float]:
        """Oldest first."""
        length = len(self._values)
        return [
            self._values[step % length] if step >= 0 else math.nan
            for step in range(self._at - min(count, length) + 1, self._at + 1)
        ]

    @property
    def nbytes(self) -> int:
        return len(self._values) * self._values.itemsize


class Window:
    """One slice's figures. Times are whole seconds of one clock."""

    def __init__(self) -> None:
        self._fine = {name: Ring(FINE_S, FINE_COUNT) for name in SERIES}
        self._coarse = {name: Ring(COARSE_S, COARSE_COUNT) for name in SERIES}
        self._gathered: dict[str, list[float]] = {name: [] for name in SERIES}
        self._gathering = -1

    def put(self, at_s: int, figures: Mapping[str, float]) -> None:
        """One second's figures; a series that is not named is missing for that second."""
        step = at_s // COARSE_S
        if step != self._gathering:
            self._flush()
            self._gathering = step
        for name in SERIES:
            value = figures.get(name, math.nan)
            self._fine[name].put(at_s, value)
            if not math.isnan(value):
                self._gathered[name].append(value)

    def _flush(self) -> None:
        for name, values in self._gathered.items():
            if values:
                total = sum(values)
                self._coarse[name].put(self._gathering * COARSE_S, total / len(values) if name in MEANS else total)
            values.clear()

    def fine(self, count: int = FINE_COUNT) -> dict[str, list[float]]:
        return {name: ring.newest(count) for name, ring in self._fine.items()}

    def coarse(self, count: int = COARSE_COUNT) -> dict[str, list[float]]:
        return {name: ring.newest(count) for name, ring in self._coarse.items()}

    @property
    def nbytes(self) -> int:
        return sum(ring.nbytes for ring in (*self._fine.values(), *self._coarse.values()))
