"""Load traces: one value a step, as a file or a directory of files says."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.scaling.errors import TracesUnusable

DAY_S: Final = 86_400
DAYS_MIN: Final = 2  # the first one is only looked at, never judged
ROWS_MAX: Final = 2_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`load` is what was measured, in any unit, one value a row; a row becomes one simulated minute, whatever its
    real step was, and `season` says how many rows make a day. `origin` groups traces of one source."""

    name: str
    origin: str
    load: Floats
    season: int

    def newest(self, days: float) -> Trace:
        """Its last days, the first of which is not judged."""
        return self.last(int(days * self.season))

    def last(self, rows: int) -> Trace:
        """Its last rows, two days of them at least."""
        rows = max(rows, DAYS_MIN * self.season)
        return replace(self, load=self.load[-rows:]) if rows < len(self.load) else self


def read_traces(directory: Path) -> tuple[Trace, ...]:
    """All CSV files of a directory, by name. Raises TracesUnusable."""
    files = sorted(directory.glob("*.csv"))
    if not files:
        raise TracesUnusable(f"{directory} has no .csv file")
    origins = dict(_origins(directory / "META.json"))
    return tuple(read_trace(path, origins.get(path.name, path.stem)) for path in files)


def read_trace(path: Path, origin: str) -> Trace:
    """Raises TracesUnusable, naming file and line."""
    times, values = [], []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = [word.strip().lower() for word in next(rows, [])]
            if header[:2] != ["timestamp", "value"]:
                raise TracesUnusable(f"{path.name} does not begin with timestamp,value")
            for number, row in enumerate(rows, start=2):
                times.append(_number(path, number, row, 0))
                values.append(_number(path, number, row, 1))
                if number > ROWS_MAX:
                    raise TracesUnusable(f"{path.name} has more than {ROWS_MAX} rows")
    except (OSError, UnicodeDecodeError) as error:
        raise TracesUnusable(f"{path.name} cannot be read: {error}") from error
    return _checked(path, origin, np.array(times), np.array(values))


def _number(path: Path, line: int, row: list[str], column: int) -> float:
    try:
        value = float(row[column])
    except (IndexError, ValueError) as error:
        raise TracesUnusable(f"{path.name}, line {line}: no number in column {column + 1}") from error
    if not np.isfinite(value) or value < 0:
        raise TracesUnusable(f"{path.name}, line {line}: {row[column]} is no load")
    return value


def _checked(path: Path, origin: str, times: Floats, values: Floats) -> Trace:
    steps = np.diff(times)
    if len(steps) < 2 or steps.min() <= 0 or not np.allclose(steps, steps[0]):
        raise TracesUnusable(f"{path.name}: its timestamps do not go on in even steps")
    season = round(DAY_S / steps[0])
    if season < 1 or len(values) < DAYS_MIN * season:
        raise TracesUnusable(f"{path.name} is shorter than {DAYS_MIN} days")
    if not values.max():
        raise TracesUnusable(f"{path.name} has no load at all")
    return Trace(name=path.stem, origin=origin, load=values, season=season)


def _origins(path: Path) -> Iterator[tuple[str, str]]:
    if not path.exists():
        return
    try:
        for each in json.loads(path.read_text(encoding="utf-8"))["traces"]:
            yield str(each["file"]), str(each.get("origin", each["file"]))
    except (ValueError, KeyError, TypeError) as error:
        raise TracesUnusable(f"{path.name} is damaged: {error!r}") from error
