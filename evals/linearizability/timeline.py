"""Draws operations as lines of text: who asked what, when, and what the answer was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from evals.linearizability.history import (
    Answer,
    Changed,
    Done,
    Found,
    Granted,
    Listed,
    Operation,
    ReadKey,
    ReadRange,
    Refused,
    Request,
)
from runtime.consensus import commands as c
from runtime.consensus.store import Compare, Delete, Get, KeyValue, Put

WIDTH: Final = 40
VALUE_SHOWN: Final = 12


def draw(operations: Sequence[Operation]) -> str:
    """One line an operation, oldest first, each with its bar on a common scale of time."""
    if not operations:
        return ""
    first_s = min(each.began_s for each in operations)
    last_s = max(each.ended_s if each.ended_s is not None else each.began_s for each in operations)
    scale = (WIDTH - 1) / ((last_s - first_s) or 1.0)
    names = max(len(each.client) for each in operations)
    ordered = sorted(operations, key=lambda each: each.began_s)
    return "\n".join(f"{each.client:>{names}} |{_bar(each, first_s, scale)}| {describe(each)}" for each in ordered)


def describe(operation: Operation) -> str:
    return f"{_asked(operation.request)} -> {_answered(operation.answer)}"


def _bar(operation: Operation, first_s: float, scale: float) -> str:
    begins = round((operation.began_s - first_s) * scale)
    if operation.ended_s is None:
        return " " * begins + "[" + "?" * (WIDTH - begins - 1)
    ends = round((operation.ended_s - first_s) * scale)
    bar = "+" if ends == begins else "[" + "=" * (ends - begins - 1) + "]"
    return (" " * begins + bar).ljust(WIDTH)


def _asked(request: Request) -> str:
    match request:
        case ReadKey():
            past = f" at {request.at_revision}" if request.at_revision else ""
            return f"{'stale ' if request.stale_ok else ''}get {request.key}{past}"
        case ReadRange():
            past = f" at {request.at_revision}" if request.at_revision else ""
            return f"{'stale ' if request.stale_ok else ''}range {request.prefix!r}{past}"
        case c.Txn():
            condition = "".join(f"if {_condition(each)} " for each in request.compare)
            otherwise = f" else {_operations(request.otherwise)}" if request.otherwise else ""
            return f"{condition}{_operations(request.then)}{otherwise}"
        case c.Grant():
            return f"grant {request.ttl_ms} ms"
        case c.KeepAlive():
            return f"keep lease {request.lease}"
        case c.Revoke():
            return f"revoke lease {request.lease}"
        case c.Compact():
            return f"compact {request.revision}"


def _condition(compare: Compare) -> str:
    return f"{compare.field} of {compare.key} {compare.op} {compare.operand!r}"


def _operations(operations: Sequence[Put | Delete | Get]) -> str:
    return ", ".join(_operation(each) for each in operations) or "nothing"


def _operation(operation: Put | Delete | Get) -> str:
    match operation:
        case Put():
            lease = f" under lease {operation.lease}" if operation.lease else ""
            return f"put {operation.key}={_value(operation.value)}{lease}"
        case Delete():
            return f"delete {operation.key}{'*' if operation.prefix else ''}"
        case Get():
            return f"get {operation.key}"


def _answered(answer: Answer | None) -> str:
    match answer:
        case None:
            return "unknown"
        case Changed(txn):
            gets = f", {', '.join(map(_item, txn.gets))}" if txn.gets else ""
            return f"{'then' if txn.succeeded else 'else'} at revision {txn.revision}{gets}"
        case Found(result):
            return f"{_item(result.item)} at revision {result.revision}"
        case Listed(listed):
            items = ", ".join(f"{each.key}={_item(each)}" for each in listed.items)
            return f"[{items}{', …' if listed.more else ''}] at revision {listed.revision}"
        case Granted(lease):
            return f"lease {lease}"
        case Done():
            return "done"
        case Refused(code):
            return f"refused: {code}"


def _item(item: KeyValue | None) -> str:
    return "absent" if item is None else f"{_value(item.value)} (of {item.mod_revision}, version {item.version})"


def _value(value: bytes) -> str:
    return repr(value) if len(value) <= VALUE_SHOWN else f"{value[:VALUE_SHOWN]!r}…{len(value)}"
