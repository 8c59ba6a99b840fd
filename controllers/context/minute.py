"""One slice in one minute: the figures that forecasts are made and trained from, and how seconds become them."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from runtime.telemetry.figures import SliceFigures
from runtime.telemetry.histogram import Histogram

SCHEMA_VERSION: Final = 1
MINUTE_S: Final = 60
COVERED_S_MIN: Final = 30  # a minute of which less was seen is missing: scaling it up would guess more than half
MIB: Final = 2**20
FEATURES: Final = (
    "cpu_usage",
    "memory_usage",
    "event_loop_lag_ms",
    "latency_ms",
    "invocations",
    "gc_pause_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "error_rate",
    "event_count",
)
COLUMNS: Final = (*FEATURES, "instances")
"""As they are kept: in this order, float32, NaN where nothing is known."""


class SliceMinute(msgspec.Struct, frozen=True, kw_only=True):
    """A slice on all nodes in one minute of wall time; `minute` counts since 1970. NaN is not known.

    `cpu_usage` in cores and `memory_usage` in MiB are those of all instances together, `invocations` the calls of the
    whole minute, `error_rate` a share of them. Lag and pause are the worst of any process; `version` is the one that
    took most calls.
    """

    schema_version: int = SCHEMA_VERSION
    slice: str
    version: str
    minute: int
    cpu_usage: float = math.nan
    memory_usage: float = math.nan
    event_loop_lag_ms: float = math.nan
    latency_ms: float = math.nan
    invocations: float = math.nan
    gc_pause_ms: float = math.nan
    p50_ms: float = math.nan
    p95_ms: float = math.nan
    p99_ms: float = math.nan
    error_rate: float = math.nan
    event_count: float = math.nan
    instances: float = math.nan

    def row(self) -> tuple[float, ...]:
        """In the order of COLUMNS; what is no number of this world is not known."""
        return tuple(sound(getattr(self, name)) for name in COLUMNS)


FLOAT32_MAX: Final = 3.4e38


def sound(value: float) -> float:
    """The value, or NaN for what no figure can be: negative, infinite, or beyond float32."""
    return value if 0.0 <= value <= FLOAT32_MAX else math.nan


class MinuteGatherer:
    """One slice's seconds of one minute."""

    __slots__ = (
        "_buckets",
        "_busy_us",
        "_calls",
        "_cpu_s",
        "_errors",
        "_gc_pause_ms",
        "_instances_s",
        "_loop_lag_ms",
        "_memory_s",
        "_versions",
        "covered_s",
        "events",
    )

    def __init__(self) -> None:
        self.covered_s = 0
        self.events = math.nan
        """Of this slice; whoever gathers says whether it counts them."""
        self._calls = self._errors = self._busy_us = 0
        self._cpu_s = self._memory_s = self._instances_s = self._loop_lag_ms = self._gc_pause_ms = 0.0
        self._buckets = Histogram()
        self._versions: dict[str, int] = {}

    def take(self, figures: SliceFigures, covers_s: int) -> None:
        """covers_s: the seconds since the ones before; counts are of all of them."""
        self.covered_s += covers_s
        self._calls += figures.calls
        self._errors += figures.errors
        self._busy_us += figures.busy_us
        self._cpu_s += figures.cpu_s
        self._memory_s += figures.rss_bytes / MIB * covers_s
        self._instances_s += figures.instances * covers_s
        self._loop_lag_ms = _worse(self._loop_lag_ms, figures.loop_lag_ms)
        self._gc_pause_ms = _worse(self._gc_pause_ms, figures.gc_pause_ms)
        self._buckets.add(figures.buckets)
        for version, each in figures.versions.items():
            self._versions[version] = self._versions.get(version, 0) + each.calls + each.instances

    def minute(self, slice_name: str, minute: int) -> SliceMinute | None:
        """None when too little of the minute was seen."""
        if self.covered_s < COVERED_S_MIN:
            return None
        latency_ms, p50_ms, p95_ms, p99_ms, error_rate = self._of_calls()
        return SliceMinute(
            slice=slice_name,
            version=max(self._versions, key=lambda name: (self._versions[name], name), default=""),
            minute=minute,
            cpu_usage=self._cpu_s / self.covered_s,
            memory_usage=self._memory_s / self.covered_s,
            event_loop_lag_ms=self._loop_lag_ms,
            latency_ms=latency_ms,
            invocations=self._calls * MINUTE_S / self.covered_s,
            gc_pause_ms=self._gc_pause_ms,
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            p99_ms=p99_ms,
            error_rate=error_rate,
            event_count=self.events,
            instances=self._instances_s / self.covered_s,
        )

    def _of_calls(self) -> tuple[float, ...]:
        """Mean latency, three percentiles and the share of errors: not known without calls."""
        if self._calls <= 0:
            return (math.nan,) * 5
        p50, p95, p99 = (value / 1_000 for value in self._buckets.percentiles((0.5, 0.95, 0.99)))
        return self._busy_us / self._calls / 1_000, p50, p95, p99, self._errors / self._calls


def _worse(known: float, value: float) -> float:
    return value if value > known else known  # false for NaN
