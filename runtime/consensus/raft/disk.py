"""The few things that log and snapshots ask of a disk, in one directory; simulation has its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

LOG_SUFFIX: Final = ".wal"
ROOM_BYTES: Final = 64 * 1024  # for some 200 changes of 256 bytes


class Disk(Protocol):
    """Every method may raise OSError. What was appended survives a power loss only after `sync`; what was created,
    renamed or removed only after `sync_names`. Files of the log may be read with zeros behind what was appended."""

    def names(self) -> list[str]: ...

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Creates the file if need be."""
        ...

    def sync(self, name: str) -> None: ...

    def truncate(self, name: str, size: int) -> None:
        """Cuts the file and syncs it."""
        ...

    def rename(self, name: str, to: str) -> None: ...

    def remove(self, name: str) -> None:
        """Absent is no error."""
        ...

    def sync_names(self) -> None: ...

    def close(self) -> None: ...


class RealDisk:
    """Implements Disk. Files are mode 0600 and stay open until they are renamed, removed or closed.

    Files of the log are kept longer than what was appended, by zeros: a sync that changes no size need not wait for the
    file system's journal, in which everybody else's changes are too.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._open: dict[str, int] = {}
        self._ends: dict[str, tuple[int, int]] = {}  # of files of the log: what was appended, and with the zeros

    def names(self) -> list[str]:
        return sorted(path.name for path in self._directory.iterdir() if path.is_file())

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        with (self._directory / name).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def append(self, name: str, data: bytes) -> None:
        fd = self._fd(name)
        if not name.endswith(LOG_SUFFIX):
            _write_all(fd, data, os.fstat(fd).st_size)
            return
        end, size = self._ends.get(name) or (os.fstat(fd).st_size,) * 2
        if end + len(data) > size:
            size = _make_room(fd, size, end + len(data) + ROOM_BYTES)
        _write_all(fd, data, end)
        self._ends[name] = (end + len(data), max(size, end + len(data)))

    def sync(self, name: str) -> None:
        os.fdatasync(self._fd(name))

    def truncate(self, name: str, size: int) -> None:
        self._ends.pop(name, None)
        os.ftruncate(self._fd(name), size)
        os.fsync(self._fd(name))

    def rename(self, name: str, to: str) -> None:
        self._forget(name)
        self._forget(to)
        os.rename(self._directory / name, self._directory / to)

    def remove(self, name: str) -> None:
        self._forget(name)
        (self._directory / name).unlink(missing_ok=True)

    def sync_names(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        for name in tuple(self._open):
            self._forget(name)

    def _fd(self, name: str) -> int:
        fd = self._open.get(name)
        if fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            fd = self._open[name] = os.open(self._directory / name, flags, 0o600)
        return fd

    def _forget(self, name: str) -> None:
        self._ends.pop(name, None)
        fd = self._open.pop(name, None)
        if fd is not None:
            os.close(fd)


def _write_all(fd: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, at)
        rest, at = rest[written:], at + written


def _make_room(fd: int, size: int, wanted: int) -> int:
    """The new size. A disk that is too full for it has no room to spare, and is full when what is appended says so."""
    try:
        _write_all(fd, bytes(wanted - size), size)
    except OSError:
        os.ftruncate(fd, size)
        return size
    return wanted
