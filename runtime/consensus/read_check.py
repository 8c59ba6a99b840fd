"""Whether what a transaction would read fits its result, which sessions keep and one reply carries."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.consensus.errors import TooLarge
from runtime.consensus.keyspace import Keyspace
from runtime.consensus.store import TXN_READ_BYTES_MAX, Get, Operation, Put


def check_reads(keys: Keyspace, operations: Sequence[Operation]) -> None:
    """Raises TooLarge. What the transaction itself has put before counts; what it deletes before counts too."""
    put: dict[str, int] = {}
    size = 0
    for operation in operations:
        if isinstance(operation, Put):
            put[operation.key] = len(operation.value)
        elif isinstance(operation, Get):
            item = keys.get(operation.key)
            size += len(operation.key) + put.get(operation.key, len(item.value) if item else 0)
    if size > TXN_READ_BYTES_MAX:
        raise TooLarge(f"a transaction that reads {size} bytes; the limit is {TXN_READ_BYTES_MAX}")
