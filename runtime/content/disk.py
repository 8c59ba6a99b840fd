"""Content on one node's disk: written beside, flushed, then renamed to its hash, so a name never lies.

`content/ab/abcd…` holds the bytes (read-only); `content/incoming/` what is being written, emptied at start;
`content/damaged/` what was found altered, for whoever wants to know how.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeVarTuple

from anyio import to_thread

from runtime.content.errors import ContentDiskFull, ContentMismatch, ContentNameInvalid, ContentTooLarge
from runtime.content.port import Accept
from runtime.names import Sha256

SIZE_BYTES_MAX: Final = 256 * 1024 * 1024
WRITE_BYTES: Final = 1024 * 1024  # gathered per write: one thread hop costs 60 µs, so less would be slower
READ_BYTES: Final = 256 * 1024  # a piece fits a frame, and four fit the credit of a stream
_Arguments = TypeVarTuple("_Arguments")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class DiskContent:
    """Blocking work runs in threads; every method is safe to cancel."""

    def __init__(self, root: Path, *, size_bytes_max: int = SIZE_BYTES_MAX) -> None:
        self.size_bytes_max = size_bytes_max
        self._root = root
        self._incoming = root / "incoming"
        self._damaged = root / "damaged"

    def open(self) -> None:
        """Makes the directories and clears what a crash left half-written."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        for directory in (self._root, self._incoming, self._damaged):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, sha256: Sha256) -> Path:
        """Where the bytes are, or would be. Raises ContentNameInvalid."""
        return self._root / checked_name(sha256)[:2] / sha256

    def has(self, sha256: Sha256) -> bool:
        return self.path(sha256).exists()

    def size_bytes(self, sha256: Sha256) -> int:
        return self.path(sha256).stat().st_size

    def names(self) -> Iterator[Sha256]:
        """Everything kept here."""
        for directory in sorted(self._root.iterdir()):
            if len(directory.name) == 2:
                yield from (Sha256(path.name) for path in sorted(directory.iterdir()))

    async def put(
        self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None, accept: Accept | None = None
    ) -> Sha256:
        """The SHA-256 of what was written. Raises ContentMismatch, ContentTooLarge, ContentDiskFull or what `accept`
        raises; nothing stays."""
        if expected is not None:
            checked_name(expected)
        temporary = self._incoming / secrets.token_hex(8)
        try:
            with temporary.open("xb") as file:
                sha256 = await self._write(file, chunks)
                if expected is not None and sha256 != expected:
                    raise ContentMismatch(expected, sha256)
                if accept is not None:
                    await _on_disk(file.flush)
                    await to_thread.run_sync(accept, temporary)
                await _on_disk(self._settle, file, temporary, sha256)
        finally:
            temporary.unlink(missing_ok=True)
        return sha256

    async def verify(self, sha256: Sha256) -> bool:
        """Reads the bytes again. What does not match is set aside, as if it had never been here."""
        path = self.path(sha256)
        found = await to_thread.run_sync(file_sha256, path)
        if found == sha256:
            return True
        if found is not None:
            self._set_aside(path)
        return False

    async def read(self, sha256: Sha256) -> AsyncIterator[bytes]:
        """The bytes in pieces of `READ_BYTES`. Raises FileNotFoundError."""
        with self.path(sha256).open("rb") as file:
            while piece := await to_thread.run_sync(file.read, READ_BYTES):
                yield piece

    def age_s(self, sha256: Sha256) -> float:
        """Seconds since the bytes came here."""
        from runtime.clock import SystemClock

        return SystemClock().unix_ms() / 1000 - self.path(sha256).stat().st_mtime

    def delete(self, sha256: Sha256) -> int:
        """Bytes freed; 0 if they were not here."""
        path = self.path(sha256)
        try:
            size_bytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size_bytes

    async def _write(self, file: BinaryIO, chunks: AsyncIterator[bytes]) -> Sha256:
        digest = hashlib.sha256()
        gathered: list[bytes] = []
        gathered_bytes = total = 0
        async for chunk in chunks:
            total += len(chunk)
            if total > self.size_bytes_max:
                raise ContentTooLarge(self.size_bytes_max)
            digest.update(chunk)
            gathered.append(chunk)
            gathered_bytes += len(chunk)
            if gathered_bytes >= WRITE_BYTES:
                await _on_disk(file.writelines, gathered)
                gathered, gathered_bytes = [], 0
        await _on_disk(file.writelines, gathered)
        return Sha256(digest.hexdigest())

    def _settle(self, file: BinaryIO, temporary: Path, sha256: Sha256) -> None:
        file.flush()
        os.fchmod(file.fileno(), 0o400)
        os.fsync(file.fileno())
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        temporary.rename(target)
        _sync_directory(target.parent)

    def _set_aside(self, path: Path) -> None:
        kept = self._damaged / f"{path.name}.{time.monotonic_ns()}"
        path.replace(kept)


async def _on_disk(work: Callable[[*_Arguments], object], *arguments: *_Arguments) -> None:
    """In a thread. What the disk refuses is raised as ContentDiskFull; errors of the sender are not its affair."""
    try:
        await to_thread.run_sync(work, *arguments)
    except OSError as error:
        raise ContentDiskFull(error.strerror or str(error)) from error


def checked_name(text: str) -> Sha256:
    """Raises ContentNameInvalid, so that no name from outside becomes a path."""
    if not _SHA256.fullmatch(text):
        raise ContentNameInvalid(text)
    return Sha256(text)


def file_sha256(path: Path) -> str | None:
    """None when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
