"""Tables and lists in the width that there is: nothing is cut off, whatever the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final, TextIO

GAP: Final = "  "
WRAPPED_CHARS_MIN: Final = 24  # a column that is wrapped is no narrower: ids, addresses and times stay whole
MEANING_CHARS_MIN: Final = 24  # where there is less room the terminal wraps by itself

Cells = Sequence[Sequence[str]]
Columns = dict[int, int]
"""Width in characters by the column's place."""


def wide_of(output: TextIO) -> int:
    """The terminal's columns; 0 where the output goes to a file or a program, which take lines of any length."""
    return shutil.get_terminal_size().columns if output.isatty() else 0


def table_of(cells: Cells, wide: int) -> Iterator[tuple[bool, str]]:
    """The lines of a table whose first row has the titles, and whether they are titles. wide: in characters, 0 for as
    many as it takes.

    Where it does not fit, long texts go on in further lines; where that is not enough, further columns stand in further
    tables, behind the first column again.
    """
    widths = {at: max(len(row[at]) for row in cells) for at in range(len(cells[0]))}
    for number, columns in enumerate(_parts(widths, wide)):
        if number:
            yield False, ""
        for row in cells:
            yield from ((row is cells[0], line) for line in _lines_of(row, columns))


def meanings_of(rows: Mapping[str, str], wide: int) -> list[str]:
    """Words with their meanings, which go on below themselves."""
    left = max(map(len, rows), default=0)
    room = max(MEANING_CHARS_MIN, wide - left - 2 * len(GAP)) if wide else 0
    columns = {0: left, 1: room}
    return [f"{GAP}{line}" for row in rows.items() for line in _lines_of(row, columns)]


def _parts(widths: Columns, wide: int) -> list[Columns]:
    if not wide:
        return [widths]
    return [whole] if (whole := _wrapped_to_fit(widths, wide)) else list(_split(widths, wide))


def _wrapped_to_fit(widths: Columns, wide: int) -> Columns | None:
    """With the widest made narrower until all fit; None where they do not."""
    fitted = dict(widths)
    excess = sum(widths.values()) + len(GAP) * (len(widths) - 1) - wide
    for _ in range(excess):
        widest = max(fitted, key=lambda at: fitted[at])
        if fitted[widest] <= WRAPPED_CHARS_MIN:
            return None
        fitted[widest] -= 1
    return fitted


def _split(widths: Columns, wide: int) -> Iterator[Columns]:
    first = min(widths[0], wide // 2)
    room = wide - first
    part, used = {0: first}, 0
    for at in range(1, len(widths)):
        width = min(widths[at], room - len(GAP))
        if len(part) > 1 and used + len(GAP) + width > room:
            yield part
            part, used = {0: first}, 0
        part[at] = width
        used += len(GAP) + width
    yield part


def _lines_of(row: Sequence[str], columns: Columns) -> Iterator[str]:
    texts = [_wrapped(row[at], width) for at, width in columns.items()]
    for parts in zip_longest(*texts, fillvalue=""):
        yield GAP.join(part.ljust(width) for part, width in zip(parts, columns.values(), strict=True)).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """At least one line. width: 0 for any."""
    return textwrap.wrap(text, width, break_on_hyphens=False) if width and len(text) > width else [text]
