"""Counting calls where they happen: a few hundred nanoseconds each, read out once a second."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Final, Literal

from runtime.telemetry.histogram import SUB_BITS, SUBS, VALUE_MAX
from runtime.telemetry.report import HostedLoad, MethodReport, ProcessReport

Outcome = Literal["ok", "error", "rejected", "lost"]
METHODS_MAX: Final = 10_000  # slice, version and method names come from contracts, so this is never reached


class Vitals:
    """What a process knows of its own health; `runtime.telemetry.process` keeps it current."""

    __slots__ = ("connections", "gc_pause_ms", "loop_lag_ms")

    def __init__(self) -> None:
        self.connections: Callable[[], int] = lambda: 0
        self.loop_lag_ms = 0.0
        self.gc_pause_ms = 0.0


class MethodRecorder:
    """One method's counts. Rejected calls never ran, so they have no duration; lost ones are errors that got no reply,
    which whoever had them may never count."""

    __slots__ = ("buckets", "errors", "lost", "ok", "rejected", "sum_us")

    def __init__(self) -> None:
        self.ok = self.errors = self.rejected = self.lost = self.sum_us = 0
        self.buckets: dict[int, int] = {}

    def record(self, duration_us: int, outcome: Outcome) -> None:
        if outcome == "ok":
            self.ok += 1
        elif outcome == "rejected":
            self.rejected += 1
            return
        else:
            self.errors += 1
            self.lost += outcome == "lost"
        # bucket_of, written out: this runs for every call
        if duration_us >= SUBS:
            value = duration_us if duration_us <= VALUE_MAX else VALUE_MAX
            shift = value.bit_length() - SUB_BITS - 1
            bucket = (shift << SUB_BITS) + (value >> shift)
        else:
            bucket = duration_us if duration_us > 0 else 0
        buckets = self.buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1
        self.sum_us += duration_us


class Recorder:
    """All methods of one process. Not for several threads."""

    def __init__(self) -> None:
        self.vitals = Vitals()
        self.hosted: Callable[[], tuple[HostedLoad, ...]] = tuple
        self.waiting: Callable[[], dict[str, int]] = dict
        self._boot = secrets.token_hex(8)
        self._methods: dict[tuple[str, str, str], MethodRecorder] = {}

    def method(self, slice_name: str, version: str, method: str) -> MethodRecorder:
        """The same recorder for the same names; keep it rather than asking for each call."""
        key = (slice_name, version, method)
        recorder = self._methods.get(key)
        if recorder is None:
            assert len(self._methods) < METHODS_MAX
            recorder = self._methods[key] = MethodRecorder()
        return recorder

    def report(self, process: str) -> ProcessReport:
        times = os.times()
        return ProcessReport(
            process=process,
            boot=self._boot,
            pid=os.getpid(),
            cpu_s=times.user + times.system,
            rss_bytes=_rss_bytes(),
            loop_lag_ms=self.vitals.loop_lag_ms,
            gc_pause_ms=self.vitals.gc_pause_ms,
            connections=self.vitals.connections(),
            methods=tuple(
                MethodReport(*key, each.ok, each.errors, each.rejected, each.sum_us, dict(each.buckets), each.lost)
                for key, each in self._methods.items()
            ),
            hosted=self.hosted(),
            waiting=self.waiting(),
        )


def _rss_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
