"""Append-only lines on disk in segments, so that what is old can be dropped a file at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SEGMENT_BYTES_MAX: Final = 4 * 1024 * 1024  # 64 of them fill a node's default of 256 MiB
BUFFER_BYTES_MAX: Final = 256 * 1024  # lines wait this long at most, a second in practice; more are counted and dropped
SUFFIX: Final = ".jsonl"


class SegmentWriter:
    """Lines of one source go to `{source}.{number}.jsonl`, to a new one also when the last was pruned. A failing disk
    loses lines, never raises into the caller."""

    def __init__(self, directory: Path, source: str) -> None:
        self._directory = directory
        self._source = source
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._fd: int | None = None
        self._written = 0
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """`line` ends with a newline. It is on disk after the next `flush`."""
        if self._buffered + len(line) > BUFFER_BYTES_MAX:
            self.flush()
            if self._buffered:  # the disk does not take it
                self.dropped += 1
                return
        self._buffer.append(line)
        self._buffered += len(line)

    def flush(self) -> None:
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        try:
            if self._fd is None or self._written >= SEGMENT_BYTES_MAX or not os.fstat(self._fd).st_nlink:
                self._open_next()
            assert self._fd is not None
            self._written += os.write(self._fd, data)
        except OSError:
            self.dropped += len(self._buffer)
        self._buffer.clear()
        self._buffered = 0

    def close(self) -> None:
        self.flush()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open_next(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = max((number_of(path) for path in self._directory.glob(f"{self._source}.*{SUFFIX}")), default=0)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        path = self._directory / f"{self._source}.{number + 1:08d}{SUFFIX}"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._written = 0


def number_of(path: Path) -> int:
    """The segment's number; 0 for a file that is none."""
    digits = path.name.removesuffix(SUFFIX).rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0
