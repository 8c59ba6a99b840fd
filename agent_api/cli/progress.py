"""How far long work is: one line that overwrites itself at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final, Self

from agent_api.cli.paint import one_line

BAR_CELLS: Final = 24
MIB: Final = 1024 * 1024


class StatusLine:
    """Words on the standard error; the same words are not said twice in a row."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._terminal = sys.stderr.isatty()
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._said and self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def say(self, words: str) -> None:
        words = one_line(words)
        if self.shown and words and words != self._said:
            text = f"\r\033[K{words}" if self._terminal else words
            print(text, end="" if self._terminal else "\n", file=sys.stderr, flush=True)
            self._said = words


class ByteBar:
    """Bytes done of all, for people at a terminal only."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._shown:
            filled = BAR_CELLS * done // max(1, total)
            bar = "█" * filled + "·" * (BAR_CELLS - filled)
            text = f"\r{bar} {done / MIB:.1f} of {total / MIB:.1f} MiB"
            print(text, end="\n" if done >= total else "", file=sys.stderr, flush=True)
