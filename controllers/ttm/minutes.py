"""The minutes that a cluster wrote down, as series to learn from."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Final

import numpy as np

from controllers.ttm.corpus import Series
from controllers.ttm.errors import TrainingDataUnusable

DAY_MINUTES: Final = 1_440
SPAN_MINUTES_MAX: Final = 400 * DAY_MINUTES  # more is a wrong clock; a series has an entry for each minute of its span
SLICE, MINUTE, LOAD = "slice", "minute", "invocations"


def read_minutes(path: Path) -> list[Series]:
    """What `./aether controller training-data` wrote as CSV: a series for each slice, all its versions together, NaN
    where a minute is missing. Raises TrainingDataUnusable, naming file and line."""
    found: dict[str, dict[int, float]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if missing := {SLICE, MINUTE, LOAD} - set(rows.fieldnames or ()):
                raise TrainingDataUnusable(f"{path.name} has no column {', '.join(sorted(missing))}")
            for row in rows:
                minute, load = _checked(path, rows.line_num, row)
                loads = found.setdefault(row[SLICE], {})
                loads[minute] = loads.get(minute, 0.0) + load  # two versions of a slice may serve in one minute
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataUnusable(f"{path.name} cannot be read: {error}") from error
    return [_series(path, name, loads) for name, loads in sorted(found.items())]


def _checked(path: Path, line: int, row: dict[str, str]) -> tuple[int, float]:
    try:
        minute, load = int(row[MINUTE]), float(row[LOAD] or "nan")
    except (TypeError, ValueError) as error:
        raise TrainingDataUnusable(f"{path.name}, line {line}: no minute with a load") from error
    if load < 0 or math.isinf(load):
        raise TrainingDataUnusable(f"{path.name}, line {line}: {row[LOAD]} is no load")
    return minute, load


def _series(path: Path, name: str, loads: dict[int, float]) -> Series:
    first, last = min(loads), max(loads)
    if last - first > SPAN_MINUTES_MAX:
        raise TrainingDataUnusable(f"{path.name}: the minutes of {name} are years apart: {first} and {last}")
    load = np.full(last - first + 1, np.nan)
    load[np.array(list(loads)) - first] = list(loads.values())
    return Series(name=name, load=load, season=DAY_MINUTES)
