"""An hour of one slice, packed: sixty minutes by column, small enough to be kept for weeks and sent to a peer."""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import msgspec

from controllers.context.errors import HourDamaged
from controllers.context.minute import COLUMNS, SCHEMA_VERSION

MINUTES: Final = 60
COLUMN_BYTES: Final = MINUTES * 4
BLOCK_BYTES: Final = COLUMN_BYTES * len(COLUMNS)  # 2,880; packed about 1 kB, at most as much again
ROW_BYTES: Final = 4 * len(COLUMNS)
LEVEL: Final = 1  # zlib's quickest: level 6 takes four times as long for 3 % less


class PackedHour(msgspec.Struct, frozen=True, array_like=True):
    """`columns` are zlib-packed little-endian float32, sixty values of each of COLUMNS in turn; zlib's checksum finds
    damage. `versions` are (minute of the hour, the version from then on)."""

    schema_version: int
    versions: tuple[tuple[int, str], ...]
    columns: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(PackedHour).decode


class Hour:
    """One slice's hour, to be read and filled. A minute is known once any of its values is."""

    __slots__ = ("_values", "versions")

    def __init__(self) -> None:
        self._values = array("f", [math.nan]) * (MINUTES * len(COLUMNS))
        self.versions = [""] * MINUTES

    @classmethod
    def unpack(cls, raw: bytes) -> Hour:
        """Raises HourDamaged."""
        hour = cls()
        try:
            packed = _decode(raw)
            unzip = zlib.decompressobj()
            columns = unzip.decompress(packed.columns, BLOCK_BYTES + 1)
        except (msgspec.DecodeError, UnicodeDecodeError, zlib.error) as error:
            raise HourDamaged(f"an hour of {len(raw)} bytes cannot be read: {error}") from error
        if packed.schema_version != SCHEMA_VERSION or len(columns) != BLOCK_BYTES or not unzip.eof:
            raise HourDamaged(f"an hour of schema {packed.schema_version} with {len(columns)} bytes of columns")
        hour._values = array("f")
        hour._values.frombytes(columns)
        starts = [minute for minute, _ in packed.versions]
        if starts != sorted(starts) or not all(0 <= minute < MINUTES for minute in starts):
            raise HourDamaged("the versions of an hour stand at minutes that it has not")
        for (minute, version), until in zip(packed.versions, [*starts[1:], MINUTES], strict=False):
            hour.versions[minute:until] = [version] * (until - minute)
        return hour

    def pack(self) -> bytes:
        runs: list[tuple[int, str]] = []
        for version, minutes in groupby(range(MINUTES), key=self.versions.__getitem__):
            runs.append((next(minutes), version))
        return _encode(PackedHour(SCHEMA_VERSION, tuple(runs), zlib.compress(self._values.tobytes(), LEVEL)))

    def column(self, name: str) -> array[float]:
        at = COLUMNS.index(name) * MINUTES
        return self._values[at : at + MINUTES]

    def row(self, minute: int) -> tuple[float, ...]:
        """In the order of COLUMNS. minute: of the hour."""
        return tuple(self._values[minute::MINUTES])

    def put(self, minute: int, row: Sequence[float], version: str) -> None:
        for at, value in enumerate(row):
            self._values[at * MINUTES + minute] = value
        self.versions[minute] = version

    def knows(self, minute: int) -> bool:
        return any(value == value for value in self.row(minute))  # noqa: PLR0124  NaN is not equal to itself

    @property
    def known(self) -> int:
        """Which minutes are known: bit 0 is the first."""
        return sum(1 << minute for minute in range(MINUTES) if self.knows(minute))

    def fill(self, other: Hour) -> int:
        """Takes the minutes that only `other` knows, and gives how many these are."""
        missing = [minute for minute in range(MINUTES) if other.knows(minute) and not self.knows(minute)]
        for minute in missing:
            self.put(minute, other.row(minute), other.versions[minute])
        return len(missing)


def packed_row(row: Iterable[float]) -> bytes:
    return array("f", row).tobytes()


def unpacked_row(raw: bytes) -> array[float]:
    """Raises HourDamaged."""
    if len(raw) != ROW_BYTES:
        raise HourDamaged(f"a minute of {len(raw)} bytes")
    row = array("f")
    row.frombytes(raw)
    return row
