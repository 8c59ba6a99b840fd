"""The few things that log and snapshots ask of a disk, in one directory; simulation has its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Every method may raise OSError. What was appended survives a power loss only after `sync`; what was created,
    renamed or removed only after `sync_names`."""

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
    """Implements Disk. Files are mode 0600 and stay open until they are renamed, removed or closed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._open: dict[str, int] = {}

    def names(self) -> list[str]:
        return sorted(path.name for path in self._directory.iterdir() if path.is_file())

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        with (self._directory / name).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def append(self, name: str, data: bytes) -> None:
        fd = self._fd(name)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]

    def sync(self, name: str) -> None:
        os.fdatasync(self._fd(name))

    def truncate(self, name: str, size: int) -> None:
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
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            fd = self._open[name] = os.open(self._directory / name, flags, 0o600)
        return fd

    def _forget(self, name: str) -> None:
        fd = self._open.pop(name, None)
        if fd is not None:
            os.close(fd)
