"""The audit: every attempt, vote, decision and change, in one hash-chained sequence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

from controllers.gate.errors import GateFault
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.plan import Json
from runtime.state.values import Value, encode

FIRST_HASH: Final = "0" * 64
RECORD_BYTES_MAX: Final = 16 * 1024  # 1,250 of them fit the quota of the chain's newest, 32 MiB
TEXT_CHARS_MAX: Final = 1_000
TOUCHED: Final = "touched"


class AuditBroken(GateFault):
    """The chain does not hold together; the sentence says where."""

    code = "audit_broken"
    remedy = "Compare with an export made earlier; somebody changed the record or lost a part of it."


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The request that something came with."""

    trace_id: str = ""
    request_id: str = ""


NO_TRACE: Final = Trace()


class AuditRecord(Value, frozen=True, kw_only=True):
    """One thing that happened. Kinds are open: other layers add theirs (decision, run, model call)."""

    id: str
    kind: str
    """applied, refused, proposed, voted, vote_refused, approved, rejected, withdrawn, expired, changed, unapproved,
    rolled_back, rollback_failed, break_glass, reviewed; other layers add their own."""
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
    request_id: str = ""
    detail: dict[str, Json] = msgspec.field(default_factory=dict)

    @property
    def touched(self) -> tuple[str, ...] | None:
        """The subjects that a change of a blueprint changed; None where that is not known."""
        found = self.detail.get(TOUCHED)
        return tuple(map(str, found)) if isinstance(found, list) else None


class ChainedRecord(Value, frozen=True, kw_only=True):
    """A record at its place, as it is read. What the hash covers is in Link."""

    number: int
    revision: int
    """The store's revision that wrote it, with the change it tells of."""
    previous: str
    hash: str
    record: AuditRecord


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A record at its place, as it is hashed: `record` has also what only newer versions know of."""

    number: int
    revision: int
    previous: str
    hash: str
    record: dict[str, Json]


class AuditLog(Protocol):
    """Where other layers put their decisions, runs and model calls, so that they join the chain."""

    async def write(self, record: AuditRecord) -> None:
        """Raises AuditFull (retryable) while too many wait for their place, StoreFault."""
        ...


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


def fitted(record: AuditRecord) -> AuditRecord:
    """Short enough for the chain: long texts are cut, and a request or detail that is too large is told by its size."""
    short = msgspec.structs.replace(
        record,
        summary=record.summary[:TEXT_CHARS_MAX],
        reason=record.reason[:TEXT_CHARS_MAX],
        rule=record.rule[:TEXT_CHARS_MAX],
        trace_id=record.trace_id[:TEXT_CHARS_MAX],
        request=_told(record.request),
        detail=_told(record.detail),
    )
    if len(encode(short)) <= RECORD_BYTES_MAX:
        return short
    return msgspec.structs.replace(short, actor=_named(record.actor))


def _told(members: dict[str, Json]) -> dict[str, Json]:
    size = len(msgspec.json.encode(members))
    return members if size <= RECORD_BYTES_MAX // 4 else {"…": f"{size} bytes of JSON"}


def _named(actor: Actor) -> Actor:
    """Who it was, without all that they own."""
    behind = _named(actor.behind) if actor.behind is not None else None
    return Actor(kind=actor.kind, id=actor.id[:200], role=actor.role, is_agent=actor.is_agent, behind=behind)


def link(record: dict[str, Json], *, number: int, revision: int, previous: str) -> Link:
    given = hash_of(record, number=number, revision=revision, previous=previous)
    return Link(number=number, revision=revision, previous=previous, hash=given, record=record)


def hash_of(record: Mapping[str, Json], *, number: int, revision: int, previous: str) -> str:
    """SHA-256 over all four as JSON without spaces, members in the order of their names."""
    text = msgspec.json.encode((number, revision, previous, record), order="sorted")
    return hashlib.sha256(text).hexdigest()


def read_link(raw: bytes) -> Link:
    """Raises AuditBroken for what is no link at all."""
    try:
        return msgspec.json.decode(raw, type=Link)
    except msgspec.DecodeError as error:
        raise AuditBroken(f"a record cannot be read: {error}") from error


def read_chained(raw: bytes) -> ChainedRecord:
    """As this version understands it. Raises AuditBroken for what is no link at all."""
    found = read_link(raw)
    return ChainedRecord(
        number=found.number,
        revision=found.revision,
        previous=found.previous,
        hash=found.hash,
        record=_understood(found.record),
    )


def read_record(raw: bytes) -> AuditRecord:
    """One without a place, as this version understands it; what is no record at all is told as unreadable."""
    try:
        return _understood(msgspec.json.decode(raw, type=dict[str, Json]))
    except msgspec.DecodeError:
        return _understood({})


def _understood(members: dict[str, Json]) -> AuditRecord:
    """Of a record that only a newer version understands, kind and texts are left."""
    try:
        return msgspec.convert(members, AuditRecord)
    except msgspec.ValidationError:
        known = {name: value for name, value in members.items() if name in _TEXTS and isinstance(value, str)}
        nobody = {"kind": ActorKind.CONTROLLER, "id": "unreadable", "role": Role.VIEWER}
        return msgspec.convert({"id": "", "kind": "unreadable", "at_unix_ms": 0, "actor": nobody} | known, AuditRecord)


_TEXTS: Final = ("id", "kind", "operation", "subject", "summary", "reason", "rule", "effect", "proposal", "trace_id")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a walk along the chain has come to: a record's number, hash and revision."""

    number: int = 0
    hash: str = FIRST_HASH
    revision: int = 0


def verify(links: Iterable[Link], place: Place | None = None) -> Place:
    """The last place, when every record follows from the one before. Raises AuditBroken.

    place: of the record before the first one.
    """
    at = place or Place()
    for each in links:
        if each.number != at.number + 1:
            raise AuditBroken(f"after record {at.number} comes {each.number}")
        if each.previous != at.hash:
            raise AuditBroken(f"record {each.number} does not follow from record {at.number}")
        given = hash_of(each.record, number=each.number, revision=each.revision, previous=each.previous)
        if each.hash != given:
            raise AuditBroken(f"record {each.number} is not what its hash says")
        if each.revision < at.revision:
            raise AuditBroken(f"record {each.number} is older than the one before it")
        at = Place(number=each.number, hash=each.hash, revision=each.revision)
    return at
