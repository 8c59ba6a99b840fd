"""Commands typed while a live view is on the screen, or piped in by a script."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio

PIECE_BYTES: Final = 1024
BACKSPACE: Final = ("\x7f", "\b")
CLEAR: Final = "\x15"  # Ctrl-U
END: Final = "\x04"  # Ctrl-D


class CommandLine:
    """Lines of standard input. With `typed` the terminal is read key by key, and told what stands there so far."""

    def __init__(self, typed: Callable[[str], None] | None) -> None:
        self._typed = typed if sys.stdin is not None and sys.stdin.isatty() else None

    async def __aiter__(self) -> AsyncIterator[str]:
        if sys.stdin is None or sys.stdin.closed:
            return
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor) if self._typed else None
        if before is not None:
            tty.setcbreak(descriptor, termios.TCSANOW)
        try:
            async for line in self._lines(descriptor):
                yield line
        finally:
            if before is not None:
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    async def _lines(self, descriptor: int) -> AsyncIterator[str]:
        text = ""
        while True:
            try:
                await anyio.wait_readable(descriptor)
            except (OSError, ValueError):  # a file or /dev/null cannot be waited for, and holds no commands
                return
            piece = os.read(descriptor, PIECE_BYTES).decode(errors="replace")
            if not piece:
                return
            for key in piece:
                if key in "\r\n":
                    yield text.strip()
                    text = ""
                else:
                    text = edited(text, key)
            if self._typed is not None:
                self._typed(text)


def edited(text: str, key: str) -> str:
    """The line after a key."""
    if key in BACKSPACE:
        return text[:-1]
    if key in (CLEAR, END):
        return ""
    return text + key if key.isprintable() else text
