"""How far long work is: one line that overwrites itself at a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import shutil
import sys
from types import TracebackType
from typing import Final, Self

from agent_api.cli.paint import one_line

BAR_CELLS: Final = 24
KIB: Final = 1024
MIB: Final = 1024 * 1024
OF: Final = re.compile(r"(\d+) of (\d+)\b")
LEFT: Final = re.compile(r"(\d+)\b")
BACK: Final = "\r\033[K"


class StatusLine:
    """Words on the standard error, behind a bar where they begin with a count; the same words are not said twice in a
    row."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._terminal = sys.stderr.isatty()
        self._said = ""
        self._most_left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Makes room for other words."""
        if self._said and self._terminal:
            print(BACK, end="", file=sys.stderr, flush=True)
        self._said = ""

    def say(self, words: str) -> None:
        """words: as "3 of 5 instances serve", or "6 instances are left" where there were more before."""
        words = one_line(words)
        if not self.shown or not words or words == self._said:
            return
        self._said = words
        if self._terminal:
            share = self._share(words)
            text = words if share is None else f"{bar(share)} {words}"
            print(f"{BACK}{fitting(text)}", end="", file=sys.stderr, flush=True)
        else:
            print(words, file=sys.stderr, flush=True)

    def _share(self, words: str) -> float | None:
        """What is done, 0 to 1; None where the words do not tell."""
        if found := OF.match(words):
            return int(found[1]) / max(1, int(found[2]))
        if found := LEFT.match(words):
            self._most_left = max(self._most_left, int(found[1]))
            return 1 - int(found[1]) / max(1, self._most_left)
        return None


class ByteBar:
    """Bytes done of all, for people at a terminal only."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._shown:
            text = f"{bar(done / max(1, total))} {size_of(done)} of {size_of(total)}"
            print(f"{BACK}{fitting(text)}", end="\n" if done >= total else "", file=sys.stderr, flush=True)


def bar(share: float) -> str:
    """share: 0 to 1."""
    filled = round(BAR_CELLS * min(1.0, max(0.0, share)))
    full, empty = ("█", "·") if _says("█·") else ("#", ".")
    return full * filled + empty * (BAR_CELLS - filled)


def size_of(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f} MiB" if size_bytes >= MIB else f"{size_bytes / KIB:.1f} KiB"


def fitting(text: str) -> str:
    """Cut to the terminal: what goes on in the next line cannot be taken back."""
    return text[: shutil.get_terminal_size().columns - 1]


def _says(text: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        text.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
