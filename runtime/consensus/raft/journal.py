"""The log on disk, with term and vote inside: crc32 per record, fdatasync before anything is acknowledged.

Provisional: one file, rewritten at compaction. It implements pysyncobj's Journal.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final, overload

from runtime.consensus.raft.core import EntryT

_HEAD: Final = struct.Struct(">IIBQQ")  # crc of the rest, body length, kind, index, term
_CRC_BYTES: Final = 4
_ENTRY: Final = 0
_CUT: Final = 1  # entries from position `index` on are gone
_TERM: Final = 2  # body: whom this member voted for


class LogDamaged(Exception):
    """A record in the middle of the log is not what was written. The member must not start from it."""


class Journal:
    """Positions count from 0; an entry's raft index is in the entry."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[EntryT] = []
        self._unsynced: list[bytes] = []
        self._term = 0
        self._vote: str | None = None
        good = self._replay()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, good)
        os.lseek(self._fd, good, os.SEEK_SET)

    def sync(self) -> None:
        """Everything added is on disk when this returns. Raises OSError; the member must then stop."""
        if self._unsynced:
            data = b"".join(self._unsynced)
            while data:
                data = data[os.write(self._fd, data) :]
            self._unsynced.clear()
            os.fdatasync(self._fd)

    # -- pysyncobj's Journal -----------------------------------------------------------------------------------------

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._entries.append((command, idx, term))
        self._record(_ENTRY, idx, term, command)

    def clear(self) -> None:
        self._entries = []
        self._record(_CUT, 0, 0)

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802  pysyncobj's name
        del self._entries[position:]
        self._record(_CUT, position, 0)

    def deleteEntriesTo(self, position: int) -> None:  # noqa: N802
        """Rewrites the log without its beginning, atomically. A snapshot of it is on disk before."""
        self._entries = self._entries[position:]
        self._unsynced.clear()
        self._record(_TERM, 0, self._term, (self._vote or "").encode())
        for command, idx, term in self._entries:
            self._record(_ENTRY, idx, term, command)
        temporary = self._path.with_suffix(".new")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.close(self._fd)
        self._fd = fd
        self.sync()
        os.rename(temporary, self._path)
        sync_directory(self._path.parent)

    @overload
    def __getitem__(self, position: int) -> EntryT: ...

    @overload
    def __getitem__(self, position: slice) -> list[EntryT]: ...

    def __getitem__(self, position: int | slice) -> EntryT | list[EntryT]:
        return self._entries[position]

    def __len__(self) -> int:
        return len(self._entries)

    def setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802
        self._term, self._vote = term, vote
        self._record(_TERM, 0, term, (vote or "").encode())

    def getCurrentTerm(self) -> int:  # noqa: N802
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        return self._vote

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802
        """Not kept: a restarted member learns it from the leader, or by leading."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        return 1

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Nothing to do each second."""

    def _destroy(self) -> None:
        self.sync()
        os.close(self._fd)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _record(self, kind: int, index: int, term: int, body: bytes = b"") -> None:
        rest = _HEAD.pack(0, len(body), kind, index, term)[_CRC_BYTES:] + body
        self._unsynced.append(zlib.crc32(rest).to_bytes(_CRC_BYTES, "big") + rest)

    def _replay(self) -> int:
        """Reads the log; gives the length of its good part. Only the last record may be torn."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        at = 0
        while at + _HEAD.size <= len(data):
            crc, length, kind, index, term = _HEAD.unpack_from(data, at)
            end = at + _HEAD.size + length
            if end > len(data) or zlib.crc32(data[at + _CRC_BYTES : end]) != crc:
                if self._whole_record_behind(data, at + 1):
                    raise LogDamaged(f"{self._path.name} is damaged at byte {at}, with good records behind it")
                break
            self._replayed(kind, index, term, data[at + _HEAD.size : end])
            at = end
        return at

    def _whole_record_behind(self, data: bytes, start: int) -> bool:
        """A torn tail has nothing good behind it; damage in the middle does. Looks at 64 KiB at most."""
        for at in range(start, min(len(data) - _HEAD.size, start + 65_536)):
            crc, length, kind, _, _ = _HEAD.unpack_from(data, at)
            end = at + _HEAD.size + length
            if kind <= _TERM and end <= len(data) and zlib.crc32(data[at + _CRC_BYTES : end]) == crc:
                return True
        return False

    def _replayed(self, kind: int, index: int, term: int, body: bytes) -> None:
        if kind == _ENTRY:
            self._entries.append((body, index, term))
        elif kind == _CUT:
            del self._entries[index:]
        else:
            self._term, self._vote = term, body.decode() or None


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
