"""Which line of a TOML text says what: found by the same headers and keys that TOML itself goes by."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final

Path = tuple[str | int, ...]
"""Of a value: ("step", 0, "verify", "cel")."""

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_WORD: Final = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
LOOKS_MAX: Final = 500  # at growing texts of several lines, so that a long one takes no time worth speaking of
_FENCE: Final = re.compile(r'"""|\'\'\'')


class LineIndex:
    """Of a text that is TOML."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}
        table: Path = ()
        for number, line in _statements(text):
            header = _HEADER.match(line)
            if header is not None:
                table = self._table(_words(header[2]), array=header[1] == "[[")
                self._lines.setdefault(table, number)
                continue
            key = _KEY.match(line)
            if key is not None:
                path = (*table, *_words(key[1]))
                self._lines.setdefault(path, number)

    def line(self, path: Path) -> int:
        """Where the value is said, or the nearest part of the document that holds it; 0 where there is none."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0

    def _table(self, words: Path, *, array: bool) -> Path:
        """The header's path with the number of each array's table in it."""
        path: Path = ()
        for place, word in enumerate(words):
            path = (*path, word)
            if array and place == len(words) - 1:
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path])
        return path


def _words(text: str) -> Path:
    return tuple(word.strip("\"'") for word in _WORD.findall(text))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Lines that begin a header or a key: those inside a text or an array of several lines are passed over."""
    pending, looks = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if pending:
            pending += "\n" + line
            looks += 1
            if looks > LOOKS_MAX or _is_whole(pending):
                pending = ""
            continue
        yield number, line
        if _KEY.match(line) and not _is_whole(line):
            pending = line


def _is_whole(statement: str) -> bool:
    if not _FENCE.search(statement) and "[" not in statement:
        return True
    try:
        tomllib.loads(statement)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return False
    return True
