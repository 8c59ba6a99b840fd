"""The journal of offline runs: written before and after each step, and told to the audit once there is a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from runtime.operations.plan import Json

OPEN: Final = ".jsonl"
TOLD: Final = ".told"
LINES_TOLD_MAX: Final = 40  # of one run in the audit; the file has all


class JournalLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`began`: who, what, with which parameters. `intent` is written before a step, `outcome` after it."""

    kind: Literal["began", "intent", "outcome", "ended"]
    at_unix_ms: int
    run: str
    step: str = ""
    state: str = ""
    detail: dict[str, Json] = {}


class Journal:
    """One run's file. A line is on the disk before `write` returns."""

    def __init__(self, directory: Path, run: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{run}{OPEN}"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)

    def write(self, line: JournalLine) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def untold(directory: Path) -> Iterator[tuple[Path, list[JournalLine]]]:
    """Runs that the audit does not know, oldest first. A line that was cut off by a crash is left out."""
    for path in sorted(directory.glob(f"*{OPEN}")):
        lines = []
        for raw in path.read_bytes().splitlines():
            try:
                lines.append(msgspec.json.decode(raw, type=JournalLine))
            except msgspec.DecodeError:
                continue
        if lines:
            yield path, lines


def told(path: Path) -> None:
    path.rename(path.with_suffix(TOLD))
