"""Answers for people: tables, and one line for each member of what is no list."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from agent_api.cli.layout import table_of, wide_of
from agent_api.cli.paint import one_line, painted, plain

Row = Mapping[str, object]
Column = tuple[str, str]
"""Title and member."""

TIME_SUFFIX: Final = "_unix_ms"
CELL_CHARS_MAX: Final = 200


def show(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """A table, in the terminal's width where there is one."""
    if not rows:
        print("nothing there")
        return
    cells = [[title for title, _ in columns]]
    cells += [[cell(member_of(row, member), member) for _, member in columns] for row in rows]
    for is_title, line in table_of(cells, wide_of(sys.stdout)):
        print(painted(line, "bold") if is_title else line)


def show_rows(rows: Sequence[Row], members: Sequence[str] = ()) -> None:
    """A table of all members that any row has something in, in that order."""
    named = members or list(dict.fromkeys(name for row in rows for name in row))
    show(rows, [(title_of(name), name) for name in named if any(not _is_empty(member_of(row, name)) for row in rows)])


def show_members(document: Row, *, indent: str = "") -> None:
    """One line for each plain member, then a table for each list of objects."""
    plain = {name: value for name, value in _flat(document) if not _is_table(value) and not _is_empty(value)}
    if not indent and not plain and not any(_is_table(value) for _, value in _flat(document)):
        print("nothing there")
    width = max(map(len, plain), default=0)
    for name, value in plain.items():
        print(f"{indent}{painted(name.ljust(width), 'dim')}  {cell(value, name, most=0)}")
    for name, value in _flat(document):
        if _is_table(value):
            print(f"\n{indent}{painted(name, 'bold')}")
            show_rows(value)  # type: ignore[arg-type]  # as _is_table found


def show_json(document: object) -> None:
    print(json.dumps(document, indent=2))


def title_of(member: str) -> str:
    return member.rpartition(".")[2].removesuffix(TIME_SUFFIX).replace("_", " ").upper()


def cell(value: object, member: str = "", *, most: int = CELL_CHARS_MAX) -> str:
    """A value in one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and member.endswith(TIME_SUFFIX):
        return moment(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        text = " ".join(f"{name}={cell(each, name)}" for name, each in value.items() if not _is_empty(each))
    elif isinstance(value, list | tuple):
        text = ", ".join(_named(each) if isinstance(each, dict) else cell(each) for each in value)
    else:
        text = str(value)
    text = one_line(text) if most else plain(text)
    return text if not most or len(text) <= most else f"{text[: most - 1]}…"


def member_of(row: Row, member: str) -> object:
    """member: with dots for members of members, as addresses.http."""
    found: object = row
    for name in member.split("."):
        found = found.get(name, "") if isinstance(found, dict) else ""
    return found


def _named(row: Row) -> str:
    """An object of a list in one word: its first member, which is its name."""
    return cell(next(iter(row.values()), ""))


def moment(unix_ms: int) -> str:
    """In this machine's time zone; empty for 0, which is unknown or never."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_ms / 1_000)) if unix_ms else ""


def _flat(document: Row, at: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in document.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{at}{name}.")
        else:
            found.append((f"{at}{name}", value))
    return found


def _is_table(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, dict) for each in value)


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {}, ())
