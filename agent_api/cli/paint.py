"""Colours, where a person looks at a terminal that shows them; and text of others, which must not steer it."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

CODES: Final = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


def painted(text: str, colour: str, *, to: TextIO | None = None) -> str:
    """Without colour where NO_COLOR is set, or where the output goes to a file or a program."""
    shown = plain(text)
    return f"\033[{CODES[colour]}m{shown}\033[0m" if shown and coloured(to or sys.stdout) else shown


def plain(text: str) -> str:
    """What would steer a terminal, turn its text around or be invisible is shown as an escape: a reason that somebody
    gave must not hide what is approved. Line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escaped(each) for each in text)


def one_line(text: str) -> str:
    """The same with single spaces between the words."""
    return plain(" ".join(text.split()))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def coloured(to: TextIO) -> bool:
    return to.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
