"""Whether what a transaction would write still fits: the total, of which a part is not for bulk, and the part of each
kind of key."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.consensus.errors import QuotaExceeded
from runtime.consensus.keyspace import Keyspace, key_bytes
from runtime.consensus.store import Operation, Put
from runtime.state.quotas import RESERVED_BYTES, TOTAL_BYTES_MAX, is_bulk, quota_of


def check_quotas(keys: Keyspace, operations: Sequence[Operation]) -> None:
    """Raises QuotaExceeded naming a part that would grow beyond its limit. What the same transaction deletes makes
    room for the next one only."""
    growth: dict[str, int] = {}
    limits: dict[str, int] = {}
    for operation in operations:
        if not isinstance(operation, Put):
            continue
        item = keys.get(operation.key)
        added = len(operation.value) - len(item.value) if item else len(operation.value) + key_bytes(operation.key)
        part, limit = quota_of(operation.key)
        limits[part] = limit
        growth[part] = growth.get(part, 0) + added
    for part, added in growth.items():
        if added > 0 and keys.weight(part) + added > limits[part]:
            raise QuotaExceeded(f"{part} may hold {limits[part]} bytes and is full")
    total = sum(growth.values())
    reserved = RESERVED_BYTES if any(added > 0 and is_bulk(part) for part, added in growth.items()) else 0
    if total > 0 and keys.bytes_total + total > TOTAL_BYTES_MAX - reserved:
        raise QuotaExceeded(f"the store may hold {TOTAL_BYTES_MAX - reserved} bytes and is full")
