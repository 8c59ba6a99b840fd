"""What a process says of itself once a second: cumulative figures, so that a lost answer costs nothing."""

from __future__ import annotations

import msgspec


class MethodReport(msgspec.Struct, frozen=True, array_like=True):
    """Cumulative since the process began. `buckets` are those of `runtime.telemetry.histogram`, in microseconds.
    `lost` are those of the errors that are missing replies."""

    slice: str
    version: str
    method: str
    ok: int
    errors: int
    rejected: int
    sum_us: int
    buckets: dict[int, int]
    lost: int = 0


class HostedLoad(msgspec.Struct, frozen=True, array_like=True):
    """One slice version in a process, now: active instances, their calls in progress, and how many they take."""

    slice: str
    version: str
    instances: int
    in_progress: int
    slots: int


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    """`boot` differs with every start, so that a reader knows when counters began anew."""

    process: str
    boot: str
    pid: int
    cpu_s: float = 0.0
    rss_bytes: int = 0
    loop_lag_ms: float = 0.0  # the worst in the last second
    gc_pause_ms: float = 0.0  # the worst in the last second
    connections: int = 0
    methods: tuple[MethodReport, ...] = ()
    hosted: tuple[HostedLoad, ...] = ()
    waiting: dict[str, int] = {}  # calls by slice that wait for an instance with room; of gateways
