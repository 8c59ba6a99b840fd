"""Suites as files of JSON lines."""

from __future__ import annotations

from typing import Final

BYTE_ORDER_MARK: Final = "\ufeff"  # some editors begin a file with it


def numbered(raw: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without empty ones. Only a line feed ends one: texts in JSON may hold U+2028 and others
    that `str.splitlines` takes for ends, and attacks do."""
    lines = raw.removeprefix(BYTE_ORDER_MARK).split("\n")
    return [(number, each) for number, each in enumerate(lines, 1) if each.strip()]
