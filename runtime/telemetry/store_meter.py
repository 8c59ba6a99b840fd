"""From a store's cumulative figures to what alerts need of it."""

from __future__ import annotations

from typing import Final

from runtime.consensus.figures import Durations, StoreFigures
from runtime.telemetry.figures import StoreVitals
from runtime.telemetry.histogram import Histogram

MIB: Final = 1024 * 1024
SYNCS_MIN: Final = 5
"""Of fewer, a percentile says nothing: they wait for the next look."""


class StoreMeter:
    """Fed with each look at the node's own store."""

    def __init__(self) -> None:
        self._before: Durations | None = None
        self._fsync_p99_ms: float | None = None

    def take(self, seen: StoreFigures | None) -> StoreVitals:
        """None: it did not answer."""
        if seen is None:
            self._before = None
            return StoreVitals(silent=True)
        self._note_syncs(seen.fsync)
        fills = [fill.used / fill.limit for fill in seen.quotas.values() if fill.limit]
        return StoreVitals(
            fsync_p99_ms=self._fsync_p99_ms,
            state_share=seen.state.used / seen.state.limit if seen.state.limit else 0.0,
            quota_share=max(fills, default=0.0),
            log_mib=seen.log_bytes / MIB,
            lag_entries=dict(seen.lag_entries) if seen.leads else {},
        )

    def _note_syncs(self, seen: Durations) -> None:
        before = self._before
        if before is None or seen.count < before.count:  # another process: its counts began anew
            self._before, self._fsync_p99_ms = seen, None
            return
        if seen.count - before.count < SYNCS_MIN:
            return
        since = Histogram(seen.buckets).since(Histogram(before.buckets))
        (p99_us,) = since.percentiles((0.99,))
        self._before, self._fsync_p99_ms = seen, p99_us / 1_000
