"""Leases: keys that go when nobody keeps them. Time comes in as elapsed milliseconds and never from a clock."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Final

import msgspec

from runtime.consensus.errors import InvalidRequest, LeaseNotFound, QuotaExceeded
from runtime.consensus.store import LeaseId

TTL_MS_MIN: Final = 500
TTL_MS_MAX: Final = 48 * 3_600_000  # answers are kept for a day, and a little more
LEASES_MAX: Final = 100_000


class Lease(msgspec.Struct, array_like=True):
    """`left_ms` counts down by what the leader says has passed. What it says first after a grant or keep-alive began
    before it, and is not counted: a lease may last longer, never shorter."""

    ttl_ms: int
    left_ms: int
    keys: set[str]
    fresh: bool = True


class Leases:
    """All leases by id; ids are never used again."""

    def __init__(self, leases: dict[int, Lease] | None = None, next_id: int = 1) -> None:
        self.by_id = leases if leases is not None else {}
        self.next_id = next_id

    def __bool__(self) -> bool:
        return bool(self.by_id)

    def all(self) -> ItemsView[int, Lease]:
        return self.by_id.items()

    def grant(self, ttl_ms: int) -> LeaseId:
        """Raises InvalidRequest or QuotaExceeded."""
        if not TTL_MS_MIN <= ttl_ms <= TTL_MS_MAX:
            raise InvalidRequest(f"a lease lasts {TTL_MS_MIN} to {TTL_MS_MAX} ms, not {ttl_ms}")
        if len(self.by_id) >= LEASES_MAX:
            raise QuotaExceeded(f"there are {LEASES_MAX} leases already")
        lease = LeaseId(self.next_id)
        self.next_id += 1
        self.by_id[lease] = Lease(ttl_ms, ttl_ms, set())
        return lease

    def get(self, lease: LeaseId) -> Lease:
        """Raises LeaseNotFound."""
        found = self.by_id.get(lease)
        if found is None:
            raise LeaseNotFound(f"lease {lease} has ended or never was")
        return found

    def keep_alive(self, lease: LeaseId) -> None:
        """Raises LeaseNotFound."""
        found = self.get(lease)
        found.left_ms, found.fresh = found.ttl_ms, True

    def pass_time(self, elapsed_ms: int) -> list[LeaseId]:
        """Those that have ended thereby, in the order of their ids."""
        ended = []
        for number, lease in self.by_id.items():
            if lease.fresh:
                lease.fresh = False
                continue
            lease.left_ms -= max(0, elapsed_ms)
            if lease.left_ms <= 0:
                ended.append(LeaseId(number))
        return sorted(ended)

    def end(self, leases: list[LeaseId]) -> list[str]:
        """The keys that go with them. Unknown leases are no error."""
        keys: list[str] = []
        for number in leases:
            lease = self.by_id.pop(number, None)
            if lease is not None:
                keys.extend(sorted(lease.keys))
        return keys

    def attach(self, key: str, lease: LeaseId) -> None:
        self.by_id[lease].keys.add(key)

    def detach(self, key: str, lease: LeaseId) -> None:
        found = self.by_id.get(lease)
        if found is not None:
            found.keys.discard(key)
