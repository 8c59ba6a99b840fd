"""Drift: whether a slice's load has begun to behave unlike what the model was fitted to.

Two signals. ADWIN on the standardised error one minute ahead finds that errors have changed; the rolling coverage of
the model's own bands finds that they were never right. Either is only a reason to train a challenger, never to trust
one. Pure: what is fed in says it all.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

DELTA: Final = 0.002  # on 18 traces: 0.25 false alarms a day, the median change found after 44 minutes
ERROR_MAX: Final = 10.0  # a single absurd minute is no drift
CHECK_EVERY: Final = 32  # values between two looks; each look costs a pass over some 50 buckets
ROW_BUCKETS_MAX: Final = 5
SIDE_MIN: Final = 5  # values that each half needs at least
COVERAGE_WINDOW: Final = 720  # minutes, 12 hours
COVERAGE_MIN: Final = 0.75  # of a band that should hold 90 %; calibration mends less than that by itself


class Bucket(NamedTuple):
    """Sum and squared deviations of a run of neighbouring values, 2**row of them."""

    total: float
    spread: float


class Split(NamedTuple):
    """The window in two: how many values each side has, and their sums."""

    old_count: int
    old_total: float
    new_count: int
    new_total: float


def differs(split: Split, variance: float, delta: float) -> bool:
    """Whether the two sides' means lie further apart than chance would have it. The bound of Bifet & Gavaldà 2007, for
    values of known variance."""
    log_term = math.log(2 * math.log(split.old_count + split.new_count) / delta)
    harmonic = 1 / split.old_count + 1 / split.new_count
    bound = math.sqrt(2 * harmonic * variance * log_term) + 2 / 3 * log_term * harmonic
    return abs(split.old_total / split.old_count - split.new_total / split.new_count) > bound


class AdwinState(msgspec.Struct, frozen=True, array_like=True):
    """Between two processes."""

    rows: tuple[tuple[Bucket, ...], ...]
    seen: int
    count: int
    total: float
    spread: float


class Adwin:
    """A window over a stream that drops its older part when the newer one has another mean (ADWIN2).

    Old values are kept as sums of ever longer runs: memory and time grow with the logarithm of the window. Own code:
    importing river 0.26 for these lines took 92 MB and 2.4 s. It raises its first alarm at the same value.
    """

    def __init__(self, delta: float = DELTA, *, check_every: int = CHECK_EVERY) -> None:
        self._delta = delta
        self._check_every = check_every
        self._rows: list[deque[Bucket]] = [deque()]
        """Row r holds runs of 2**r values, newest first; later rows are older."""
        self._seen = 0
        self.count = 0
        self.total = 0.0
        self._spread = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        return self._spread / self.count if self.count else 0.0

    def add(self, value: float) -> bool:
        """True when the window dropped its past because of what has come since."""
        self._append(value)
        self._seen += 1
        if self._seen % self._check_every or self.count < 2 * SIDE_MIN:
            return False
        dropped = False
        while self._has_changed():
            self._drop_oldest()
            dropped = True
        return dropped

    def state(self) -> AdwinState:
        rows = tuple(tuple(row) for row in self._rows)
        return AdwinState(rows, self._seen, self.count, self.total, self._spread)

    def resume(self, state: AdwinState) -> None:
        self._rows = [deque(row) for row in state.rows]
        self._seen, self.count, self.total, self._spread = state.seen, state.count, state.total, state.spread

    def _append(self, value: float) -> None:
        self._grow(1, Bucket(value, 0.0))
        self._rows[0].appendleft(Bucket(value, 0.0))
        for row, buckets in enumerate(self._rows):
            if len(buckets) <= ROW_BUCKETS_MAX:
                break
            if row + 1 == len(self._rows):
                self._rows.append(deque())
            older, newer = buckets.pop(), buckets.pop()
            self._rows[row + 1].appendleft(_joined(2**row, older, newer))

    def _grow(self, size: int, bucket: Bucket) -> None:
        if self.count:
            apart = bucket.total / size - self.mean
            self._spread += bucket.spread + apart * apart * size * self.count / (size + self.count)
        self.count += size
        self.total += bucket.total

    def _drop_oldest(self) -> None:
        row = len(self._rows) - 1
        size, bucket = 2**row, self._rows[row].pop()
        if not self._rows[row] and row:
            self._rows.pop()
        self.count -= size
        self.total -= bucket.total
        if self.count:
            apart = bucket.total / size - self.mean
            self._spread -= bucket.spread + apart * apart * size * self.count / (size + self.count)
        self._spread = max(self._spread, 0.0)

    def _has_changed(self) -> bool:
        variance = self.variance
        return any(differs(split, variance, self._delta) for split in self.splits())

    def splits(self) -> Iterator[Split]:
        """Every place between two runs where both sides have enough values, oldest first."""
        count, total = 0, 0.0
        for row in range(len(self._rows) - 1, -1, -1):
            for bucket in reversed(self._rows[row]):
                count, total = count + 2**row, total + bucket.total
                if count >= SIDE_MIN and self.count - count >= SIDE_MIN:
                    yield Split(count, total, self.count - count, self.total - total)


def _joined(size: int, one: Bucket, other: Bucket) -> Bucket:
    """Two runs of `size` values each as one."""
    apart = (one.total - other.total) / size
    return Bucket(one.total + other.total, one.spread + other.spread + apart * apart * size / 2)


class DriftCause(StrEnum):
    ERROR = "error_changed"
    COVERAGE = "coverage_low"


class WatchState(msgspec.Struct, frozen=True, array_like=True):
    """Between two processes. covered: a byte a minute."""

    adwin: AdwinState
    covered: bytes


class DriftWatch:
    """Of one slice, fed once a minute."""

    def __init__(self) -> None:
        self._adwin = Adwin()
        self._covered: deque[bool] = deque(maxlen=COVERAGE_WINDOW)

    @property
    def coverage(self) -> float | None:
        """Of the model's own band, one minute ahead, in the last 12 hours; None while less than that was seen."""
        return sum(self._covered) / COVERAGE_WINDOW if len(self._covered) == COVERAGE_WINDOW else None

    def observe(self, *, error: float, covered: bool) -> DriftCause | None:
        """What has drifted, if anything has.

        error: of the median one minute ahead, as a part of the band's width. covered: by the model's own band, before
        calibration: that holds its word also for a model that does not.
        """
        if not math.isfinite(error):
            return None
        self._covered.append(covered)
        worse = self._drifted(min(abs(error), ERROR_MAX))
        if worse:
            return DriftCause.ERROR
        coverage = self.coverage
        return DriftCause.COVERAGE if coverage is not None and coverage < COVERAGE_MIN else None

    def state(self) -> WatchState:
        return WatchState(self._adwin.state(), bytes(self._covered))

    def resume(self, state: WatchState) -> None:
        self._adwin.resume(state.adwin)
        self._covered = deque(map(bool, state.covered), maxlen=COVERAGE_WINDOW)

    def _drifted(self, error: float) -> bool:
        """Only for the worse: a load that became easier needs no other model."""
        before = self._adwin.mean
        return self._adwin.add(error) and self._adwin.mean > before
