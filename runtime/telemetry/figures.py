"""What nodes tell each other of one second: plain structs, whose members later versions append to and never move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from runtime.telemetry.histogram import Histogram


class VersionFigures(msgspec.Struct, frozen=True, array_like=True):
    """One version of a slice in one second. `slots` are the calls that its instances take at once, all together."""

    calls: int = 0
    errors: int = 0
    busy_us: int = 0
    instances: int = 0
    in_progress: int = 0
    slots: int = 0
    cpu_s: float = 0.0


class SliceFigures(msgspec.Struct, frozen=True, array_like=True):
    """One slice in one second, on one node or on all. `buckets` are those of `histogram`, in microseconds.

    `busy_us` is what its calls took together. CPU time and memory of a process that hosts several slices are shared out
    by how long each one's calls took, memory by instances; lags and pauses are the worst of the processes that host it.
    An inline slice runs in its gateway and has neither. `waiting` calls wait in gateways for an instance with room;
    `refused` ones gateways turned away as no instance took them; `lost` ones got no reply from theirs. `went_back`: a
    counter did, so that nobody knows how many calls there were.
    """

    calls: int = 0
    errors: int = 0
    rejected: int = 0
    instances: int = 0
    buckets: dict[int, int] = {}
    busy_us: int = 0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    loop_lag_ms: float = 0.0
    gc_pause_ms: float = 0.0
    in_progress: int = 0
    waiting: int = 0
    versions: dict[str, VersionFigures] = {}
    refused: int = 0
    lost: int = 0
    went_back: bool = False


class MachineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are 0 to 1; None is unknown."""

    memory_share: float | None = None
    disk_share: float | None = None
    certificate_left_days: float | None = None


class StoreVitals(msgspec.Struct, frozen=True, kw_only=True):
    """What alerts need of a node's store. `silent`: it did not answer its own node; `lag_entries` are those of the
    members that the leader knows of."""

    silent: bool = False
    fsync_p99_ms: float | None = None
    state_share: float = 0.0
    quota_share: float = 0.0
    log_mib: float = 0.0
    lag_entries: dict[str, int] = {}


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One node in one second. `cpu_share` is in cores; lags and pauses are the worst of its processes, `silent` those
    that run and answer nothing."""

    node: str
    at_s: int
    cpu_share: float = 0.0
    rss_bytes: int = 0
    loop_lag_ms: float = 0.0
    gc_pause_ms: float = 0.0
    connections: int = 0
    requests: int = 0
    slices: dict[str, SliceFigures] = {}
    machine: MachineFigures = MachineFigures()
    store: StoreVitals | None = None
    silent: tuple[str, ...] = ()


def together(parts: Sequence[SliceFigures]) -> SliceFigures:
    """One slice's figures on several nodes as those of all of them."""
    if len(parts) == 1:
        return parts[0]
    return SliceFigures(
        calls=sum(each.calls for each in parts),
        errors=sum(each.errors for each in parts),
        rejected=sum(each.rejected for each in parts),
        instances=sum(each.instances for each in parts),
        buckets=_merged_buckets(parts),
        busy_us=sum(each.busy_us for each in parts),
        cpu_s=sum(each.cpu_s for each in parts),
        rss_bytes=sum(each.rss_bytes for each in parts),
        loop_lag_ms=max((each.loop_lag_ms for each in parts), default=0.0),
        gc_pause_ms=max((each.gc_pause_ms for each in parts), default=0.0),
        in_progress=sum(each.in_progress for each in parts),
        waiting=sum(each.waiting for each in parts),
        versions=_merged_versions(parts),
        refused=sum(each.refused for each in parts),
        lost=sum(each.lost for each in parts),
        went_back=any(each.went_back for each in parts),
    )


def _merged_buckets(parts: Sequence[SliceFigures]) -> dict[int, int]:
    merged = Histogram()
    for part in parts:
        merged.add(part.buckets)
    return merged.counts


def _merged_versions(parts: Sequence[SliceFigures]) -> dict[str, VersionFigures]:
    found: dict[str, VersionFigures] = {}
    for part in parts:
        for version, figures in part.versions.items():
            known = found.get(version)
            found[version] = figures if known is None else sum_of_versions(known, figures)
    return found


def sum_of_versions(one: VersionFigures, other: VersionFigures) -> VersionFigures:
    return VersionFigures(
        one.calls + other.calls,
        one.errors + other.errors,
        one.busy_us + other.busy_us,
        one.instances + other.instances,
        one.in_progress + other.in_progress,
        one.slots + other.slots,
        one.cpu_s + other.cpu_s,
    )


encode: Final = msgspec.msgpack.Encoder().encode
decode_figures: Final = msgspec.msgpack.Decoder(NodeFigures).decode
decode_picture: Final = msgspec.msgpack.Decoder(tuple[NodeFigures, ...]).decode
