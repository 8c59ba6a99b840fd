"""What each method did in the last minute: from the same counts as the seconds of slices, kept on each node and added
up when somebody asks. Until then nothing of it travels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.telemetry.histogram import Histogram
from runtime.telemetry.report import MethodReport

CELL_S: Final = 20
CELLS: Final = 3  # a minute at most; some 40 buckets a cell, so 15 kB for each method that is called on a node
SHARES: Final = (0.5, 0.95, 0.99)

MethodKey = tuple[str, str, str]
"""Slice, version, method."""


class MethodLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one version of a slice."""

    method: str
    version: str
    calls: Annotated[int, Meta(description="That ended, in all of these seconds.")] = 0
    calls_per_s: float = 0.0
    errors: Annotated[int, Meta(description="Of these calls.")] = 0
    rejected: Annotated[
        int, Meta(description="That an instance turned away as it was full; they may run elsewhere.")
    ] = 0
    refused: Annotated[int, Meta(description="That a gateway turned away, as no instance took them.")] = 0
    p50_ms: Annotated[float | None, Meta(description="Null where no call ended.")] = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class MethodCounts(msgspec.Struct, frozen=True, array_like=True):
    """One method on one node. `buckets` are those of `histogram`, in microseconds."""

    version: str
    method: str
    calls: int
    errors: int
    rejected: int
    refused: int
    buckets: dict[int, int]


class MethodsLately(msgspec.Struct, frozen=True, array_like=True):
    """Of one slice on one node, over its last `over_s` seconds."""

    over_s: int
    methods: tuple[MethodCounts, ...]


class _Sum:
    __slots__ = ("buckets", "calls", "errors", "refused", "rejected")

    def __init__(self) -> None:
        self.calls = self.errors = self.rejected = self.refused = 0
        self.buckets = Histogram()

    def add(self, other: MethodCounts | _Sum) -> None:
        self.calls += other.calls
        self.errors += other.errors
        self.rejected += other.rejected
        self.refused += other.refused
        self.buckets.add(other.buckets.counts if isinstance(other, _Sum) else other.buckets)


class MethodBook:
    """Of one node. Seconds are those of one clock, and come in order unless that was set back."""

    def __init__(self) -> None:
        self._cells: dict[int, dict[MethodKey, _Sum]] = {}
        self._began_s = self._at_s = 0

    def begin(self, at_s: int) -> None:
        """What is counted next is of that second."""
        if not self._cells or at_s < self._began_s:
            self._began_s = at_s
        self._at_s, newest = at_s, at_s // CELL_S
        if newest not in self._cells:
            self._cells = {at: cell for at, cell in self._cells.items() if newest - CELLS < at < newest}
            self._cells[newest] = {}

    def count_executed(self, deltas: Iterable[MethodReport]) -> None:
        cell = self._cells[self._at_s // CELL_S]
        for each in deltas:
            found = cell.setdefault((each.slice, each.version, each.method), _Sum())
            found.calls += each.ok + each.errors
            found.errors += each.errors
            found.rejected += each.rejected
            found.buckets.add(each.buckets)

    def count_refused(self, delta: MethodReport) -> None:
        """By the node's gateway."""
        cell = self._cells[self._at_s // CELL_S]
        cell.setdefault((delta.slice, delta.version, delta.method), _Sum()).refused += delta.rejected

    def lately(self, slice_name: str) -> MethodsLately:
        found: dict[tuple[str, str], _Sum] = {}
        for cell in self._cells.values():
            for (name, version, method), counted in cell.items():
                if name == slice_name:
                    found.setdefault((version, method), _Sum()).add(counted)
        first = max(self._began_s, (self._at_s // CELL_S - CELLS + 1) * CELL_S)
        return MethodsLately(
            self._at_s - first + 1,
            tuple(
                MethodCounts(*names, each.calls, each.errors, each.rejected, each.refused, each.buckets.counts)
                for names, each in found.items()
            ),
        )


def together(parts: Sequence[MethodsLately]) -> tuple[MethodLoad, ...]:
    """All nodes' as one, by name and version. Each node's rate is over its own seconds."""
    sums: dict[tuple[str, str], _Sum] = {}
    rates: dict[tuple[str, str], float] = {}
    for part in parts:
        for each in part.methods:
            key = (each.method, each.version)
            sums.setdefault(key, _Sum()).add(each)
            rates[key] = rates.get(key, 0.0) + each.calls / part.over_s
    return tuple(
        _load(method, version, sums[method, version], rates[method, version]) for method, version in sorted(sums)
    )


def _load(method: str, version: str, found: _Sum, rate: float) -> MethodLoad:
    percentiles = [each / 1_000 for each in found.buckets.percentiles(SHARES)]
    p50_ms, p95_ms, p99_ms = percentiles if found.calls else (None, None, None)
    return MethodLoad(
        method=method,
        version=version,
        calls=found.calls,
        calls_per_s=round(rate, 2),
        errors=found.errors,
        rejected=found.rejected,
        refused=found.refused,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
    )
