"""What a store process counts and times of itself, as plain figures: other processes make metrics of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from runtime.telemetry.histogram import Histogram

Note = Callable[[str, dict[str, object]], None]


class Durations(msgspec.Struct, frozen=True, array_like=True):
    """Cumulative since the process began; buckets as in `runtime.telemetry.histogram`, in microseconds."""

    buckets: dict[int, int] = {}
    sum_us: int = 0

    @property
    def count(self) -> int:
        return sum(self.buckets.values())


class Fill(msgspec.Struct, frozen=True, array_like=True):
    used: int
    limit: int


class StoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one member. Counters begin anew with the process; `lag_entries` is known to the leader alone."""

    node: str
    term: int = 0
    leads: bool = False
    has_leader: bool = False
    commit: Durations = Durations()
    fsync: Durations = Durations()
    elections: int = 0
    leader_changes: int = 0
    quorum_losses: int = 0
    snapshots_written: int = 0
    snapshots_installed: int = 0
    snapshot_ms: float = 0.0  # of the last one written here: beside the work, from its beginning to its name
    snapshot_bytes: int = 0
    snapshot_age_s: float = 0.0
    snapshot_index: int = 0
    log_bytes: int = 0
    log_entries: int = 0
    commit_index: int = 0
    applied_index: int = 0
    lag_entries: dict[str, int] = {}
    pending_proposals: int = 0
    held_promises: int = 0
    watchers: int = 0
    sessions: int = 0
    leases: int = 0
    keys: int = 0
    history_revisions: int = 0
    state: Fill = Fill(0, 0)
    quotas: dict[str, Fill] = {}  # by kind of key, of the fullest part of that kind


class Recorder:
    """Sits where the engine notes what happens."""

    def __init__(self, note: Note, told: Mapping[str, Callable[[], None]]) -> None:
        """`told`: whom else to tell of an event."""
        self._note = note
        self._told = told
        self.commit = Histogram()
        self.fsync = Histogram()
        self.events: Counter[str] = Counter()
        self.snapshot_ms = 0.0

    def note(self, event: str, fields: dict[str, object]) -> None:
        self.events[event] += 1
        if event == "snapshot_written":
            took_ms = fields["took_ms"]
            assert isinstance(took_ms, float)
            self.snapshot_ms = took_ms
        self._note(event, fields)
        if event in self._told:
            self._told[event]()


def durations(histogram: Histogram) -> Durations:
    return Durations(dict(histogram.counts), histogram.sum)
