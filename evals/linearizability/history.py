"""What clients asked, when, and what they were told. Kept as JSON lines, so that it can be looked at again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from runtime.consensus import commands as c
from runtime.consensus.store import (
    NOW,
    RANGE_LIMIT_MAX,
    Delete,
    GetResult,
    KeyValue,
    LeaseId,
    Put,
    RangeResult,
    Revision,
    TxnResult,
)


class ReadKey(msgspec.Struct, frozen=True, array_like=True, tag="get"):
    key: str
    at_revision: Revision = NOW
    stale_ok: bool = False


class ReadRange(msgspec.Struct, frozen=True, array_like=True, tag="range"):
    prefix: str
    after: str = ""
    limit: int = RANGE_LIMIT_MAX
    at_revision: Revision = NOW
    stale_ok: bool = False


Read = ReadKey | ReadRange
Change = c.Txn | c.Grant | c.KeepAlive | c.Revoke | c.Compact
Request = Read | Change


class Changed(msgspec.Struct, frozen=True, array_like=True, tag="changed"):
    txn: TxnResult


class Found(msgspec.Struct, frozen=True, array_like=True, tag="found"):
    result: GetResult


class Listed(msgspec.Struct, frozen=True, array_like=True, tag="listed"):
    result: RangeResult


class Granted(msgspec.Struct, frozen=True, array_like=True, tag="granted"):
    lease: LeaseId


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """Of what has no other answer: keep-alive, revoke, compact."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """It certainly had no effect."""

    code: str


Answer = Changed | Found | Listed | Granted | Done | Refused


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One request of one client. Without `ended_s` and `answer` its outcome is unknown: it may take effect at any
    time after it began, or never."""

    client: str
    began_s: float
    ended_s: float | None
    request: Request
    answer: Answer | None

    @property
    def revision(self) -> Revision | None:
        """At which it says to have read or written; for a read of the past, that at which it was answered."""
        match self.answer:
            case Changed(txn):
                return txn.revision
            case Found(result):
                return result.revision
            case Listed(listed):
                return listed.revision
            case _:
                return None

    @property
    def is_read(self) -> bool:
        return isinstance(self.request, Read)

    @property
    def is_stale(self) -> bool:
        """Promises a state that once was, not the newest."""
        return isinstance(self.request, Read) and self.request.stale_ok

    @property
    def writes(self) -> tuple[Put | Delete, ...]:
        """Of the branch taken; of both while that is unknown; none when it was refused."""
        if not isinstance(self.request, c.Txn) or isinstance(self.answer, Refused):
            return ()
        branch = (*self.request.then, *self.request.otherwise)
        if isinstance(self.answer, Changed):
            branch = self.request.then if self.answer.txn.succeeded else self.request.otherwise
        return tuple(each for each in branch if isinstance(each, Put | Delete))


_ENCODER: Final = msgspec.json.Encoder()
_OPERATION: Final = msgspec.json.Decoder(Operation)


class _Start(msgspec.Struct, frozen=True):
    revision: Revision
    items: tuple[KeyValue, ...]


@dataclass(slots=True)
class History:
    """`start` is what the keys of the history held at `revision`, before the first operation."""

    operations: list[Operation] = field(default_factory=list)
    revision: Revision = NOW
    start: tuple[KeyValue, ...] = ()

    def add(self, operation: Operation) -> None:
        self.operations.append(operation)

    def save(self, path: Path) -> None:
        first = _ENCODER.encode(_Start(self.revision, self.start))
        path.write_bytes(b"\n".join([first, *(_ENCODER.encode(each) for each in self.operations)]) + b"\n")

    @classmethod
    def load(cls, path: Path) -> History:
        """Raises msgspec.DecodeError for a file that is no history."""
        first, *rest = path.read_bytes().splitlines()
        start = msgspec.json.decode(first, type=_Start)
        return cls([_OPERATION.decode(line) for line in rest], start.revision, start.items)
