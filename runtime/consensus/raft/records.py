"""The log's bytes: records with a checksum, in batches that were synced together. Pure; docs/decisions/0010."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import crc32c

from runtime.consensus.errors import StoreDamaged

HEAD: Final = struct.Struct(">IIBQQQ")  # crc32c of all behind it, body length, kind, batch, index, term
_CRC_BYTES: Final = 4
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
OPEN: Final = 1  # a segment begins; body: which cluster's and member's log this is
ENTRY: Final = 2
CUT: Final = 3  # entries from `index` on are gone
STATE: Final = 4  # `term`, and in the body whom this member voted for
RESET: Final = 5  # all entries are gone; `index` and `term` are those of the snapshot's last one
LAST: Final = 0x80  # set in `kind`: ends its batch
_KINDS: Final = frozenset((OPEN, ENTRY, CUT, STATE, RESET))


class LogDamaged(StoreDamaged):
    """The log is not what was written. The member must not start from it."""


_CRC: Final = struct.Struct(">I")
_REST: Final = struct.Struct(">IBQQQ")  # HEAD without its checksum


class Record(NamedTuple):
    kind: int
    batch: int
    idx: int
    term: int
    body: bytes


def pack_batch(records: list[Record], batch: int) -> bytes:
    """All of them as the batch of that number, whatever they say of it themselves."""
    parts: list[bytes] = []
    last = len(records) - 1
    for at, (kind, _, index, term, body) in enumerate(records):
        rest = _REST.pack(len(body), kind | LAST if at == last else kind, batch, index, term)
        parts += (_CRC.pack(crc32c.crc32c(body, crc32c.crc32c(rest))), rest, body)
    return b"".join(parts)


class Scan(NamedTuple):
    """`good` bytes are whole batches; `batch` is the number of the last one."""

    records: list[Record]
    good: int
    batch: int


def scan(data: bytes, *, name: str, batch: int, newest: bool) -> Scan:
    """Reads one segment. `batch` is the number of the last batch before it.

    A batch that was never synced may have any part of it missing, so what is wrong is cut off if it can belong to the
    last batch of the `newest` segment; a whole record of a later batch behind it proves that it was synced once. Zeros
    at a segment's end are room that was not used; whether a batch should be there, the next segment's name tells.
    Raises LogDamaged.
    """
    records: list[Record] = []
    unfinished: list[Record] = []
    at = good = 0
    while (found := _record_at(data, at)) is not None and found[0].batch == batch + 1:
        record, is_last, at = found
        unfinished.append(record)
        if is_last:
            records += unfinished
            unfinished, good, batch = [], at, batch + 1
    if data.count(0, good) < len(data) - good:  # zeros are room that was not used
        if not newest:
            raise LogDamaged(f"{name} is damaged at byte {at}, and later segments follow it")
        later = _later_batch(data, at, batch + 1)
        if later:
            raise LogDamaged(f"{name} is damaged at byte {at}: what was written later, at byte {later}, is whole")
    return Scan(records, good, batch)


def _record_at(data: bytes, at: int) -> tuple[Record, bool, int] | None:
    """The record there, whether it ends its batch, and where it ends; None if no whole one is there."""
    if at + HEAD.size > len(data):
        return None
    crc, length, kind, batch, index, term = HEAD.unpack_from(data, at)
    end = at + HEAD.size + length
    if kind & ~LAST not in _KINDS or length > BODY_BYTES_MAX or end > len(data):
        return None
    if crc32c.crc32c(memoryview(data)[at + _CRC_BYTES : end]) != crc:
        return None
    return Record(kind & ~LAST, batch, index, term, data[at + HEAD.size : end]), bool(kind & LAST), end


def _later_batch(data: bytes, start: int, batch: int) -> int:
    """Where a whole record of a batch after `batch` begins; 0 if nowhere."""
    begins_max = len(data.rstrip(b"\0"))  # a record may end in zeros, but it does not begin in them alone
    for at in range(start + 1, min(begins_max, len(data) - HEAD.size + 1)):
        found = _record_at(data, at)
        if found is not None and batch < found[0].batch < batch + 1_000_000:
            return at
    return 0
