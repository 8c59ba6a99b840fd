"""Log-linear histograms of durations: exact to 6.25 %, mergeable by adding counts, cheap to record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

SUB_BITS: Final = 4
SUBS: Final = 1 << SUB_BITS  # buckets per power of two: a bucket is at most 1/16 of its lower bound wide
VALUE_MAX: Final = (1 << 40) - 1  # microseconds: about 12 days
BUCKETS: Final = (40 - SUB_BITS + 1) * SUBS


def bucket_of(value: int) -> int:
    """The index of the bucket that holds `value`; below 16 every value has its own."""
    if value < SUBS:
        return max(value, 0)
    value = min(value, VALUE_MAX)
    shift = value.bit_length() - SUB_BITS - 1
    return (shift << SUB_BITS) + (value >> shift)


def upper_bound(bucket: int) -> int:
    """The largest value of the bucket."""
    if bucket < SUBS:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return ((bucket - (shift << SUB_BITS) + 1) << shift) - 1


class Histogram:
    """Counts by bucket. Values are non-negative whole numbers, usually microseconds."""

    __slots__ = ("counts", "sum")

    def __init__(self, counts: Mapping[int, int] | None = None, total: int = 0) -> None:
        self.counts: dict[int, int] = dict(counts or {})
        self.sum = total

    def record(self, value: int) -> None:
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def merge(self, other: Histogram) -> None:
        self.add(other.counts)
        self.sum += other.sum

    def add(self, counts: Mapping[int, int]) -> None:
        """Counts by bucket, of values whose sum is kept elsewhere."""
        own = self.counts
        for bucket, count in counts.items():
            own[bucket] = own.get(bucket, 0) + count

    def since(self, earlier: Histogram) -> Histogram:
        """What was recorded after `earlier`, an earlier state of this same histogram."""
        counts = {
            bucket: count - earlier.counts.get(bucket, 0)
            for bucket, count in self.counts.items()
            if count > earlier.counts.get(bucket, 0)
        }
        return Histogram(counts, self.sum - earlier.sum)

    def percentile(self, share: float) -> int:
        """The value that `share` (0 to 1) of the recorded ones do not exceed; 0 when nothing was recorded."""
        return self.percentiles((share,))[0]

    def percentiles(self, shares: Iterable[float]) -> tuple[int, ...]:
        total, found = self.count, []
        ordered = sorted(self.counts.items())
        for share in shares:
            left, bucket = share * total, -1
            for bucket, count in ordered:  # noqa: B007  the one that it ends with
                left -= count
                if left <= 1e-9:
                    break
            found.append(upper_bound(bucket) if bucket >= 0 else 0)
        return tuple(found)

    def mean(self) -> float:
        return self.sum / count if (count := self.count) else 0.0
