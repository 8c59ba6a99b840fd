"""Fine buckets of durations as Prometheus wants them: few, cumulative, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtime.telemetry.histogram import upper_bound

BOUNDS_US: Final = (
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
)


def cumulative(buckets: Mapping[int, int]) -> list[tuple[str, float]]:
    """A fine bucket counts where its upper bound lies."""
    found, total = [], 0
    ordered = sorted(buckets.items())
    at = 0
    for bound in BOUNDS_US:
        while at < len(ordered) and upper_bound(ordered[at][0]) <= bound:
            total += ordered[at][1]
            at += 1
        found.append((str(bound / 1e6), float(total)))
    found.append(("+Inf", float(sum(buckets.values()))))
    return found
