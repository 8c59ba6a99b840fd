"""Colours, where a person looks at a terminal that shows them."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

CODES: Final = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def painted(text: str, colour: str, *, to: TextIO | None = None) -> str:
    """Plain where NO_COLOR is set, or where the output goes to a file or a program."""
    return f"\033[{CODES[colour]}m{text}\033[0m" if text and coloured(to or sys.stdout) else text


def coloured(to: TextIO) -> bool:
    return to.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
