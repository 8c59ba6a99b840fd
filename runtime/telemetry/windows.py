"""Recent figures in float32 rings: each second for ten minutes, each ten seconds for two hours."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

FINE_S: Final = 1
FINE_COUNT: Final = 600
COARSE_S: Final = 10
COARSE_COUNT: Final = 720
WINDOW_S: Final = COARSE_S * COARSE_COUNT
SERIES: Final = ("calls", "errors", "rejected", "p50_ms", "p95_ms", "p99_ms", "instances", "instance_mb")
# 7 series x (600 + 720) x 4 bytes = 37 kB a slice
NODE_SERIES: Final = ("cpu_cores", "memory_mib", "loop_lag_ms", "gc_pause_ms", "connections", "requests")  # 32 kB
COUNTS: Final = frozenset({"calls", "errors", "rejected", "requests"})  # they add up; of others a mean is kept


class WindowCopy(msgspec.Struct, frozen=True, array_like=True):
    """A window as it travels: the number of each ring's newest step, and the values up to it, oldest first."""

    fine_at: int
    fine: dict[str, list[float]]
    coarse_at: int
    coarse: dict[str, list[float]]


def merged(copies: Sequence[WindowCopy]) -> WindowCopy:
    """What one node missed, because it began later or was cut off, another one has. At least one copy."""
    fine_at, coarse_at = max(copy.fine_at for copy in copies), max(copy.coarse_at for copy in copies)
    fine = [(fine_at - copy.fine_at, copy.fine) for copy in copies]
    coarse = [(coarse_at - copy.coarse_at, copy.coarse) for copy in copies]
    return WindowCopy(fine_at, _merged(fine, FINE_COUNT), coarse_at, _merged(coarse, COARSE_COUNT))


def _merged(parts: Sequence[tuple[int, Mapping[str, list[float]]]], count: int) -> dict[str, list[float]]:
    """parts: how many steps each is behind, and its series. Of two counts of one step the fuller is right."""
    found = {name: [math.nan] * count for name in SERIES}
    for behind, series in parts:
        for name, row in found.items():
            for back, value in enumerate(reversed(series.get(name, ()))):
                place = count - 1 - behind - back
                if place < 0:
                    break
                if math.isnan(row[place]) or (name in COUNTS and value > row[place]):
                    row[place] = value
    return found


def names_of(metric: str) -> tuple[str, ...]:
    """The series that `lately` needs for it."""
    return ("calls", "errors") if metric == "errors_share" else (metric,)


def lately(series: Mapping[str, list[float]], metric: str) -> float | None:
    """`errors_share` of the calls of all steps together, or the mean of one series; None where nothing was measured."""
    if metric == "errors_share":
        calls, errors = (sum(known(series[name])) for name in ("calls", "errors"))
        return errors / calls if calls else None
    values = known(series.get(metric, []))
    return sum(values) / len(values) if values else None


def known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


class Ring:
    """The newest `count` values, one per step; NaN is missing, also for steps that nobody recorded."""

    __slots__ = ("_values", "at", "step_s")

    def __init__(self, step_s: int, count: int) -> None:
        self.step_s = step_s
        self._values = array("f", [math.nan]) * count
        self.at = -1  # the newest step's number

    def put(self, at_s: int, value: float) -> None:
        step, count = at_s // self.step_s, len(self._values)
        if step > self.at:
            for missing in range(max(self.at + 1, step - count + 1), step):
                self._values[missing % count] = math.nan
            self.at = step
        if step > self.at - count:
            self._values[step % count] = value

    def newest(self, count: int, *, until: int | None = None) -> list[float]:
        """Oldest first; up to the step `until`, or the newest one."""
        length = len(self._values)
        end = self.at if until is None else until
        first, oldest = end - min(count, length) + 1, max(0, self.at - length + 1)
        if oldest <= first <= end <= self.at:  # all of it is here: two slices at most, and no look at each step
            begin, stop = first % length, end % length + 1
            found = self._values[begin:stop] if begin < stop else self._values[begin:] + self._values[:stop]
            return found.tolist()
        return [
            self._values[step % length] if oldest <= step <= self.at else math.nan for step in range(first, end + 1)
        ]

    @property
    def nbytes(self) -> int:
        return len(self._values) * self._values.itemsize


class Window:
    """One slice's figures, or one node's. Times are whole seconds of one clock."""

    def __init__(self, series: Sequence[str] = SERIES) -> None:
        self._series = tuple(series)
        self._fine = {name: Ring(FINE_S, FINE_COUNT) for name in series}
        self._coarse = {name: Ring(COARSE_S, COARSE_COUNT) for name in series}
        self._gathered: dict[str, list[float]] = {name: [] for name in series}
        self._gathering = -1

    def put(self, at_s: int, figures: Mapping[str, float]) -> None:
        """One second's figures; a series that is not named is missing for that second."""
        step = at_s // COARSE_S
        if step != self._gathering:
            self._flush()
            self._gathering = step
        for name in self._series:
            value = figures.get(name, math.nan)
            self._fine[name].put(at_s, value)
            if not math.isnan(value):
                self._gathered[name].append(value)

    def _flush(self) -> None:
        for name, values in self._gathered.items():
            if values:
                total = sum(values)
                self._coarse[name].put(self._gathering * COARSE_S, total if name in COUNTS else total / len(values))
            values.clear()

    def fine(self, count: int = FINE_COUNT, names: Sequence[str] | None = None) -> dict[str, list[float]]:
        """names: all where none are given."""
        wanted = self._series if names is None else names
        return {name: self._fine[name].newest(count) for name in wanted if name in self._fine}

    def coarse(self, count: int = COARSE_COUNT, names: Sequence[str] | None = None) -> dict[str, list[float]]:
        wanted = self._series if names is None else names
        return {name: self._coarse[name].newest(count) for name in wanted if name in self._coarse}

    def copy(self) -> WindowCopy:
        """All of it, to be merged with other nodes' copies."""
        fine_at, coarse_at = self._fine[self._series[0]].at, max(ring.at for ring in self._coarse.values())
        coarse = {name: ring.newest(COARSE_COUNT, until=coarse_at) for name, ring in self._coarse.items()}
        return WindowCopy(fine_at, self.fine(), coarse_at, coarse)

    @property
    def nbytes(self) -> int:
        return sum(ring.nbytes for ring in (*self._fine.values(), *self._coarse.values()))
