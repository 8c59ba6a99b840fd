"""Where recordings lie: a file for each conversation, in the data directory of the node that led."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from llm_layer.recordings.recording import Tape
from llm_layer.recordings.rows import Begun, line_of

BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one recording: some 60 turns with all that they looked at. It is not gone on with beyond."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ENDS: Final = ".jsonl"


class RecordingShelf:
    """`kept` says how many conversations are recorded, the newest; 0 is none."""

    def __init__(self, directory: Path, kept: Callable[[], int]) -> None:
        self._directory = directory
        self._kept = kept

    def begin(self, begun: Begun) -> Tape | None:
        """None where the turn is not recorded: nobody wants it, or what came before it was recorded elsewhere, so that
        nobody could go through it again."""
        if self._kept() <= 0 or _NAME.fullmatch(begun.conversation) is None:
            return None
        path = self._path(begun.conversation)
        first = begun.number == 1 and not begun.proposal
        if first or (path.exists() and path.stat().st_size < BYTES_MAX):
            return Tape(begun)
        return None

    def keep(self, begun: Begun, tape: Tape) -> None:
        """A turn is written whole or not at all. Raises OSError."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        raw = b"".join(map(line_of, tape.rows))
        path = self._path(begun.conversation)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as file:
            file.write(raw)
        by_age = sorted(self._directory.glob(f"*{_ENDS}"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
        for old in by_age[max(1, self._kept()) :]:
            old.unlink(missing_ok=True)

    def _path(self, conversation: str) -> Path:
        return self._directory / f"{conversation}{_ENDS}"
