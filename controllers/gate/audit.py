"""The audit: every attempt, vote, decision and change, in one hash-chained sequence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from controllers.gate.errors import GateFault
from runtime.operations.actor import Actor
from runtime.operations.plan import Json
from runtime.state.values import Value

FIRST_HASH: Final = "0" * 64
DETAIL_CHARS_MAX: Final = 2_000


class AuditBroken(GateFault):
    """The chain does not hold together; the sentence says where."""

    code = "audit_broken"
    remedy = "Compare with an export made earlier; somebody changed the record or lost a part of it."


class AuditRecord(Value, frozen=True, kw_only=True):
    """One thing that happened. Kinds are open: other layers add theirs (decision, run, model call)."""

    id: str
    kind: str
    """attempt_refused, proposed, voted, applied, rejected, expired, stale, withdrawn, rolled_back, break_glass, …"""
    at_unix_ms: int
    actor: Actor
    operation: str = ""
    subject: str = ""
    request: dict[str, Json] = msgspec.field(default_factory=dict)
    summary: str = ""
    reason: str = ""
    rule: str = ""
    gate_class: int = 0
    effect: str = ""
    proposal: str = ""
    revision_before: int = 0
    trace_id: str = ""
    detail: dict[str, Json] = msgspec.field(default_factory=dict)


class ChainedRecord(Value, frozen=True, kw_only=True):
    """A record at its place: `hash` covers the place, the record, the revision that wrote it, and `previous`."""

    number: int
    revision: int
    """The store's revision that wrote it, with the change it tells of."""
    previous: str
    hash: str
    record: AuditRecord


class AuditHead(Value, frozen=True, kw_only=True):
    """Where the chain ends. `sealed` is the number of the last record that was moved into a segment."""

    number: int = 0
    hash: str = FIRST_HASH
    sealed: int = 0


class AuditSegment(Value, frozen=True, kw_only=True):
    """Records `first` to `last` as content: zstd of JSON lines."""

    first: int
    last: int
    sha256: str
    previous: str
    hash: str
    size_bytes: int


def chained(record: AuditRecord, *, number: int, revision: int, previous: str) -> ChainedRecord:
    return ChainedRecord(
        number=number,
        revision=revision,
        previous=previous,
        hash=hash_of(record, number=number, revision=revision, previous=previous),
        record=record,
    )


def hash_of(record: AuditRecord, *, number: int, revision: int, previous: str) -> str:
    """SHA-256 over the canonical JSON of all four."""
    text = msgspec.json.encode((number, revision, previous, record), order="deterministic")
    return hashlib.sha256(text).hexdigest()


def verify(records: Iterable[ChainedRecord], *, previous: str = FIRST_HASH, number: int = 0) -> tuple[int, str]:
    """The last number and hash, when every record follows from the one before. Raises AuditBroken.

    previous, number: of the record before the first one.
    """
    revision = 0
    for each in records:
        if each.number != number + 1:
            raise AuditBroken(f"after record {number} comes {each.number}")
        if each.previous != previous:
            raise AuditBroken(f"record {each.number} does not follow from record {number}")
        given = hash_of(each.record, number=each.number, revision=each.revision, previous=each.previous)
        if each.hash != given:
            raise AuditBroken(f"record {each.number} is not what its hash says")
        if each.revision < revision:
            raise AuditBroken(f"record {each.number} is older than the one before it")
        number, previous, revision = each.number, each.hash, each.revision
    return number, previous
