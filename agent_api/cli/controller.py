"""`aether controller training-data`: the history of minutes as a table, to train forecasts from."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TextIO

import msgspec

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.parser import whole_number
from agent_api.client.client import Client
from controllers.context.minute import COLUMNS
from controllers.context.queries import HOURS_MAX, TrainingDataPage, TrainingHour
from runtime.clock import SystemClock
from runtime.errors import RuntimeFault

NAME: Final = "controller.training-data"
HEADER: Final = ("slice", "version", "minute", "schema_version", *COLUMNS)
DAY_MINUTES: Final = 1_440

Row = tuple[str | int | float | None, ...]


class TableUnwritable(RuntimeFault):
    code = "table_unwritable"
    remedy = "Name a file that ends in .csv or .parquet, in a directory that can be written to."


class ParquetMissing(RuntimeFault):
    code = "parquet_missing"
    remedy = "Install it into Aether's environment (`.venv/bin/pip install pyarrow`), or write a .csv."


class Table(Protocol):
    def write(self, rows: list[Row]) -> None: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser("training-data", help="write what each slice did in each minute, as CSV or Parquet")
    export.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help=".csv or .parquet; default: CSV to the output"
    )
    export.add_argument("--slice", default="", metavar="NAME", help="only of this slice")
    export.add_argument("--days", type=whole_number(1), metavar="N", help="only of the last N days (default: all)")
    add_api_arguments(export)


def run(arguments: argparse.Namespace) -> int:
    try:
        with client_of(arguments) as client, table_in(arguments.file) as table:
            written = 0
            for rows in _pages(client, arguments.slice, arguments.days):
                table.write(rows)
                written += len(rows)
    except RuntimeFault as fault:
        return report("controller training-data", fault)
    if not written:
        of_whom = f" of {arguments.slice!r}" if arguments.slice else ""
        print(f"aether controller training-data: no minute{of_whom} is known", file=sys.stderr)
        return 1
    if arguments.file is not None:
        print(f"{arguments.file} holds {written} minutes")
    return 0


def _pages(client: Client, slice_name: str, days: int | None) -> Iterator[list[Row]]:
    members: dict[str, object] = {"slice": slice_name, "limit": HOURS_MAX}
    if days is not None:
        members["since_minute"] = max(0, SystemClock().unix_ms() // 60_000 - days * DAY_MINUTES)
    while True:
        raw = client.perform(client.talks.answer(NAME, members))
        page = msgspec.json.decode(raw, type=TrainingDataPage)
        yield [row for hour in page.items for row in rows_of(hour)]
        if not page.next:
            return
        members["cursor"] = page.next


def rows_of(hour: TrainingHour) -> Iterator[Row]:
    """The minutes of which anything is known, as HEADER names it."""
    columns = [hour.columns[name] for name in COLUMNS]
    for at, figures in enumerate(zip(*columns, strict=True)):
        if any(value is not None for value in figures):
            yield hour.slice, hour.versions[at], hour.first_minute + at, hour.schema_version, *figures


@contextmanager
def table_in(file: Path | None) -> Iterator[Table]:
    """Raises TableUnwritable, ParquetMissing or BrokenPipeError."""
    try:
        if file is None:
            yield _Csv(sys.stdout)
        elif file.suffix == ".csv":
            with file.open("w", newline="", encoding="utf-8") as sink:
                yield _Csv(sink)
        elif file.suffix == ".parquet":
            with _parquet(file) as table:
                yield table
        else:
            raise TableUnwritable(f"{file} ends in neither .csv nor .parquet")
    except BrokenPipeError:
        raise  # who reads the output has enough: no failure of this command
    except OSError as error:
        raise TableUnwritable(f"{file} cannot be written: {error.strerror or error}") from error


class _Csv:
    """Empty is not known."""

    def __init__(self, sink: TextIO) -> None:
        self._rows = csv.writer(sink, lineterminator="\n")
        self._rows.writerow(HEADER)

    def write(self, rows: list[Row]) -> None:
        self._rows.writerows(rows)


@contextmanager
def _parquet(file: Path) -> Iterator[Table]:
    """Raises ParquetMissing. Arrow is no part of what a node runs: 150 MB for something that is done now and then."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ParquetMissing("Parquet is written with pyarrow, which is not installed") from error
    kinds = {"slice": pyarrow.string(), "version": pyarrow.string(), "minute": pyarrow.int64()}
    kinds |= {"schema_version": pyarrow.int16(), **dict.fromkeys(COLUMNS, pyarrow.float32())}
    schema = pyarrow.schema(list(kinds.items()))

    class Parquet:
        def write(self, rows: list[Row]) -> None:
            if rows:
                columns = [
                    pyarrow.array(values, schema.field(at).type) for at, values in enumerate(zip(*rows, strict=True))
                ]
                writer.write_table(pyarrow.table(columns, schema=schema))

    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        yield Parquet()
