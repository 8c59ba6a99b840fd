"""Log lines, spans and figures for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, cast

from agent_api.cli.paint import one_line, painted
from agent_api.cli.table import Row, cell, show_rows

COLOURS: Final = {"error": "red", "warning": "yellow"}
HEAD: Final = ("at_ms", "level", "event", "node", "process")
WINDOWS: Final = (  # what it is called, of which series, and how many of its newest figures
    ("10 s", "seconds", 10),
    ("1 min", "seconds", 60),
    ("10 min", "seconds", 600),
    ("2 h", "ten_seconds", 720),
)
SUMS: Final = ("calls", "errors", "rejected")
NODE_HIGHEST: Final = ("loop_lag_ms", "gc_pause_ms")
HIGHEST: Final = ("p50_ms", "p95_ms", "p99_ms")


def show_lines(answer: Row) -> None:
    """answer: of log.list or trace.list. One line each, newest first: when, where, what, and all that it says."""
    for row in cast(list[Row], answer.get("logs", answer.get("traces", []))):
        level = str(row.get("level", ""))
        where = f"{row.get('node', '')}/{row.get('process', '')}"
        rest = " ".join(f"{name}={cell(each, name)}" for name, each in row.items() if name not in HEAD)
        said = painted(f"{level:<7}", COLOURS.get(level, "dim"))
        print(f"{_moment(row.get('at_ms'))}  {said}  {one_line(where)}  {one_line(str(row.get('event', '')))}  {rest}")
    _show_silent(answer)


def show_figures(answer: Row) -> None:
    """answer: of metric.show. Sums over each window; of the latencies the highest in it, as they cannot be added up."""
    rows = [_window(cast(Row, answer[series]), words, count) for words, series, count in WINDOWS]
    show_rows(rows, ("last", *SUMS, *(f"highest_{name}" for name in HIGHEST), "instances"))
    _show_silent(answer)


def show_node_figures(answer: Row) -> None:
    """answer: of metric.show-node. Means over each window, of lags and pauses the highest in it, and requests a
    second."""
    rows = []
    for words, series, count in WINDOWS:
        row = {"last": words, **_node_window(cast(Row, answer[series]), count)}
        requests, step_s = row.pop("requests"), 10 if series == "ten_seconds" else 1
        row["requests_per_s"] = requests / step_s if isinstance(requests, float) else None
        rows.append(row)
    show_rows(rows)


def _node_window(figures: Row, count: int) -> dict[str, object]:
    row: dict[str, object] = {}
    for name, values in figures.items():
        newest = [each for each in cast(Sequence[float | None], values)[-count:] if each is not None]
        if name in NODE_HIGHEST:
            row[f"highest_{name}"] = max(newest, default=None)
        else:
            row[name] = sum(newest) / len(newest) if newest else None
    return row


def _window(figures: Row, words: str, count: int) -> Row:
    def newest(name: str) -> list[float]:
        return [each for each in cast(Sequence[float | None], figures[name])[-count:] if each is not None]

    return {
        "last": words,
        **{name: sum(newest(name)) for name in SUMS},
        **{f"highest_{name}": max(newest(name), default=None) for name in HIGHEST},
        "instances": next(reversed(newest("instances")), None),
    }


def _show_silent(answer: Row) -> None:
    if answer.get("silent"):
        print(painted(f"nothing heard of {cell(answer['silent'])}", "yellow"))


def _moment(at_ms: object) -> str:
    """In this machine's time zone, with milliseconds."""
    whole_s, ms = divmod(cast(int, at_ms or 0), 1_000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(whole_s))}.{ms:03d}"
