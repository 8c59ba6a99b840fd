"""A disk that can be filled: a small file system of its own where this user may mount one, else a limit on files."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from evals.nemesis.errors import CampaignRefused

VOLUME_BYTES: Final = 96 * 1024 * 1024
_FILLER: Final = "filler"
_PIECE: Final = bytes(256 * 1024)


class Volume(Protocol):
    """Holds one node's directory."""

    what: str

    def fill(self) -> None:
        """From now on nothing can be written any more."""
        ...

    def started(self, pid: int) -> None:
        """The node's store was started: what holds for the disk holds for it, too."""
        ...

    def free(self) -> None: ...

    def close(self, *, keep: bool) -> None:
        """`keep`: what is on it stays, for a look."""
        ...


class SmallVolume:
    """Implements Volume by a file system in memory: writes end with ENOSPC, as on any full disk."""

    what = "a small file system"

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._filler = directory / _FILLER
        _mount(directory)

    def fill(self) -> None:
        """Down to the last byte: large pieces first."""
        fd = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for piece in (_PIECE, b"\0"):
                while _fits(fd, piece):
                    pass
        finally:
            os.close(fd)

    def started(self, pid: int) -> None:
        """The file system is full for whoever writes."""

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    def close(self, *, keep: bool) -> None:
        self.free()
        copy = self._directory.with_name(f"{self._directory.name}-kept")
        if keep:
            shutil.copytree(self._directory, copy, ignore=lambda _where, names: [n for n in names if ".sock" in n])
        subprocess.run(["umount", "--lazy", self._directory], check=False, capture_output=True)
        if keep:
            self._directory.rmdir()
            copy.rename(self._directory)


class FileLimit:
    """Implements Volume for users who may not mount: no file of the process grows any more (EFBIG)."""

    what = "a limit on the size of files"

    def __init__(self, largest_bytes: Callable[[], int]) -> None:
        self._largest_bytes = largest_bytes
        self._pid = 0
        self._bytes = resource.RLIM_INFINITY

    def fill(self) -> None:
        self._bytes = self._largest_bytes()
        self._apply()

    def started(self, pid: int) -> None:
        self._pid = pid
        self._apply()

    def free(self) -> None:
        self._bytes = resource.RLIM_INFINITY
        self._apply()

    def close(self, *, keep: bool) -> None:
        """Limits end with their process; its files are where they were."""

    def _apply(self) -> None:
        with suppress(ProcessLookupError):
            if self._pid:
                resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (self._bytes, resource.RLIM_INFINITY))


def open_volume(data: Path) -> Volume:
    """Raises CampaignRefused where disks cannot be filled in either way."""
    if os.geteuid() == 0:
        with suppress(CampaignRefused):
            return SmallVolume(data)
    if hasattr(resource, "prlimit"):
        return FileLimit(lambda: _newest_bytes(data / "store"))
    raise CampaignRefused("a full disk needs root, to mount a small file system, or Linux, to limit a process's files")


def _fits(fd: int, piece: bytes) -> bool:
    try:
        return os.write(fd, piece) == len(piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


def _newest_bytes(directory: Path) -> int:
    """Of the segment that is written to."""
    segments = sorted(directory.glob("*.wal"))
    return segments[-1].stat().st_size if segments else 0


def _mount(directory: Path) -> None:
    options = f"size={VOLUME_BYTES},mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "aether-volume", str(directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise CampaignRefused(f"a small file system cannot be mounted on {directory}: {done.stderr.strip()}")
