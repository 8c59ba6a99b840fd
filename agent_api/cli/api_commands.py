"""What the commands that speak to the API share: run a request, print a table or JSON, report a refusal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import cast

from agent_api.cli.api_client import ApiClient, add_api_arguments, client_for
from agent_api.cli.failure import report
from runtime.errors import RuntimeFault

Row = dict[str, object]


def add_common(parser: argparse.ArgumentParser) -> None:
    add_api_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the API's answer as JSON")


def with_client(arguments: argparse.Namespace, command: str, work: Callable[[ApiClient], int]) -> int:
    """`work`'s exit code, or 1 after a refusal has been told."""
    try:
        return work(client_for(arguments.data, arguments.api))
    except RuntimeFault as fault:
        return report(command, fault)


def rows_of(answer: object, key: str) -> list[Row]:
    """The rows below `key` of an answer of the API."""
    return cast(list[Row], cast(Row, answer)[key])  # the API's own documents


def show(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> None:
    """A table: (title, key) per column."""
    if not rows:
        print("nothing there")
        return
    cells = [[title for title, _ in columns]] + [[_text(row.get(key, "")) for _, key in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_json(answer: object) -> None:
    print(json.dumps(answer, indent=2))


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)
