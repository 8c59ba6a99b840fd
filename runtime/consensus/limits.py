"""Limits that depend on a request alone, so that a client is told before anything is logged."""

from __future__ import annotations

from typing import Final

from runtime.consensus import commands as c
from runtime.consensus.errors import InvalidRequest, TooLarge
from runtime.consensus.store import (
    KEY_BYTES_MAX,
    LEADER_KEY,
    TXN_BYTES_MAX,
    TXN_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    Compare,
    Delete,
    Get,
    Operation,
    Put,
)

COMPARES_MAX: Final = 512
COMMAND_BYTES_MAX: Final = TXN_BYTES_MAX + 256 * 1024
"""Of a command as it is logged: names and numbers of the largest transaction take some 130 KiB. One such entry has to
fit one message to the other members, and one record of the log."""


def check_command(raw: bytes) -> None:
    """For what a client encoded, before it is logged. Raises TooLarge."""
    if len(raw) > COMMAND_BYTES_MAX:
        raise TooLarge(f"a command of {len(raw)} bytes; the limit is {COMMAND_BYTES_MAX}")


def check_txn(txn: c.Txn) -> None:
    """Raises TooLarge or InvalidRequest."""
    if len(txn.then) + len(txn.otherwise) > TXN_OPERATIONS_MAX or len(txn.compare) > COMPARES_MAX:
        raise TooLarge(f"a transaction has at most {TXN_OPERATIONS_MAX} operations and {COMPARES_MAX} comparisons")
    for branch in (txn.then, txn.otherwise):
        if len(branch) > 1:
            _check_written_once(branch)
        for operation in branch:
            _check_fence(operation)
    size = sum(_operation_bytes(operation) for operation in (*txn.then, *txn.otherwise))
    size += sum(_compare_bytes(compare) for compare in txn.compare)
    if size > TXN_BYTES_MAX:
        raise TooLarge(f"a transaction of {size} bytes; the limit is {TXN_BYTES_MAX}")


def _check_written_once(branch: tuple[Operation, ...]) -> None:
    """One revision gives a key one value."""
    keys = [operation.key for operation in branch if isinstance(operation, Put)]
    keys += [operation.key for operation in branch if isinstance(operation, Delete) and not operation.prefix]
    if len(set(keys)) < len(keys):
        raise InvalidRequest("a transaction writes a key twice")
    prefixes = tuple(operation.key for operation in branch if isinstance(operation, Delete) and operation.prefix)
    if prefixes and (len(prefixes) > len(set(prefixes)) or any(key.startswith(prefixes) for key in keys)):
        raise InvalidRequest("a transaction writes a key and deletes its prefix")


def _check_fence(operation: Operation) -> None:
    """Only a leader's first command writes the key that fences it."""
    if isinstance(operation, Get):
        return
    takes = LEADER_KEY.startswith if isinstance(operation, Delete) and operation.prefix else LEADER_KEY.__eq__
    if takes(operation.key):
        raise InvalidRequest(f"{LEADER_KEY} is written by leaders alone; name a prefix that does not cover it")


def _operation_bytes(operation: Operation) -> int:
    key_bytes = len(operation.key.encode())
    if not key_bytes and not (isinstance(operation, Delete) and operation.prefix):
        raise InvalidRequest("a key is empty")
    if key_bytes > KEY_BYTES_MAX:
        raise TooLarge(f"a key of {key_bytes} bytes; the limit is {KEY_BYTES_MAX}")
    value_bytes = len(operation.value) if isinstance(operation, Put) else 0
    if value_bytes > VALUE_BYTES_MAX:
        raise TooLarge(f"a value of {value_bytes} bytes for {operation.key}; the limit is {VALUE_BYTES_MAX}")
    return key_bytes + value_bytes


def _compare_bytes(compare: Compare) -> int:
    if (compare.field == "value") != isinstance(compare.operand, bytes):
        raise InvalidRequest(f"{compare.field} of {compare.key!r} cannot be compared with that operand")
    key_bytes = len(compare.key.encode())
    if not 0 < key_bytes <= KEY_BYTES_MAX:
        raise TooLarge(f"a comparison of a key of {key_bytes} bytes; 1 to {KEY_BYTES_MAX} are allowed")
    operand_bytes = len(compare.operand) if isinstance(compare.operand, bytes) else 0
    if operand_bytes > VALUE_BYTES_MAX:
        raise TooLarge(f"a comparison with {operand_bytes} bytes; the limit is {VALUE_BYTES_MAX}")
    return key_bytes + operand_bytes
