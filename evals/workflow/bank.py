"""A bank that outlives processes: a file to which each line is added whole, so that all agree on their order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from runtime.workflow.errors import StepFailed


class Line(msgspec.Struct, frozen=True):
    what: Literal["charge", "look", "refund"]
    key: str
    epoch: int = 0


class FileBank:
    """Implements Bank."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def charge(self, key: str, epoch: int) -> None:
        before = self.charges(key)
        self._add(Line("charge", key, epoch))
        if self.charges(key) == before:
            raise StepFailed("too_late", "a newer leader has asked about it")

    def look(self, key: str, epoch: int) -> bool | None:
        self._add(Line("look", key, epoch))
        return bool(self.charges(key))

    def refund(self, key: str) -> None:
        self._add(Line("refund", key))

    def charges(self, key: str) -> int:
        """Those that no newer leader had asked about before."""
        newest = found = 0
        for line in self._lines(key):
            newest = max(newest, line.epoch if line.what == "look" else 0)
            found += line.what == "charge" and line.epoch >= newest
        return found

    def stands(self, key: str) -> int:
        refunded = any(line.what == "refund" for line in self._lines(key))
        return 0 if refunded else self.charges(key)

    def _add(self, line: Line) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(line) + b"\n")
            os.fsync(file.fileno())

    def _lines(self, key: str) -> Iterator[Line]:
        for raw in self._path.read_bytes().splitlines():
            line = msgspec.json.decode(raw, type=Line)
            if line.key == key:
                yield line
