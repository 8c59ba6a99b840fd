"""The state on disk: written whole, synced, then renamed; checked when read."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Final

import msgspec

from runtime.consensus.raft.core import EntryT

_CRC_BYTES: Final = 4


class SnapshotDamaged(Exception):
    """The file is not what was written. The member must not start from it."""


class StateFile(msgspec.Struct, frozen=True, array_like=True):
    """`last` is the newest entry that `state` includes, `before` the one before it: the log begins with these."""

    before: EntryT
    last: EntryT
    members: dict[str, str]
    state: bytes


def write_state(path: Path, state: StateFile) -> None:
    body = msgspec.msgpack.encode(state)
    with path.open("wb") as file:
        file.write(zlib.crc32(body).to_bytes(_CRC_BYTES, "big"))
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def read_state(path: Path) -> StateFile:
    """Raises SnapshotDamaged."""
    raw = path.read_bytes()
    if len(raw) < _CRC_BYTES or zlib.crc32(raw[_CRC_BYTES:]) != int.from_bytes(raw[:_CRC_BYTES], "big"):
        raise SnapshotDamaged(f"{path.name} does not match its checksum")
    try:
        return msgspec.msgpack.decode(raw[_CRC_BYTES:], type=StateFile)
    except msgspec.DecodeError as error:
        raise SnapshotDamaged(f"{path.name} cannot be read: {error}") from error
