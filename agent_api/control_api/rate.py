"""How often each principal may ask: a bucket of tokens for each."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

PRINCIPALS_MAX: Final = 10_000  # buckets; one that was full anyway goes unnoticed


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_s: float


class RateLimit:
    """`per_s` requests a second on average, twice as many in one burst."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._burst = 2 * per_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, principal: str, now_s: float) -> float:
        """Takes a token. 0 when there was one, else in how many seconds there is one."""
        bucket = self._buckets.get(principal)
        if bucket is None:
            bucket = self._buckets[principal] = _Bucket(self._burst, now_s)
            if len(self._buckets) > PRINCIPALS_MAX:
                self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now_s - bucket.filled_s) * self._per_s)
        bucket.filled_s = now_s
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._per_s
        bucket.tokens -= 1.0
        return 0.0
