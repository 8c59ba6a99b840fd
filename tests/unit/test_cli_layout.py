"""What commands print, in the width that there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_api.cli.layout import meanings_of, table_of
from agent_api.cli.model_view import NONE_NAMED, show_model_status
from agent_api.cli.telemetry_view import show_figures, show_lines, show_node_figures

Capture = pytest.CaptureFixture[str]

NODES = (
    ("NODE", "STATE", "ROLE", "INSTANCES", "HTTP", "API"),
    ("n1", "up", "core", "6", "127.0.0.1:14750", "127.0.0.1:14751"),
    ("n2", "down", "core", "5", "127.0.0.1:27330", "127.0.0.1:27331"),
)


def lines_of(cells: tuple[tuple[str, ...], ...], wide: int) -> list[str]:
    return [line for _, line in table_of(cells, wide)]


def test_a_table_that_fits_is_one_row_a_line() -> None:
    for wide in (0, 80):
        assert lines_of(NODES, wide)[1] == "n1    up     core  6          127.0.0.1:14750  127.0.0.1:14751"


def test_columns_that_do_not_fit_stand_below_behind_the_first_one() -> None:
    """They were cut off: at 50 columns nobody saw how many instances serve."""
    assert lines_of(NODES, 50) == [
        "NODE  STATE  ROLE  INSTANCES  HTTP",
        "n1    up     core  6          127.0.0.1:14750",
        "n2    down   core  5          127.0.0.1:27330",
        "",
        "NODE  API",
        "n1    127.0.0.1:14751",
        "n2    127.0.0.1:27331",
    ]
    assert [number for number, (is_title, _) in enumerate(table_of(NODES, 50)) if is_title] == [0, 4]


def test_a_long_text_goes_on_in_its_column() -> None:
    cells = (("NAME", "SUMMARY"), ("slice.scale", "Change how many instances of a slice are wanted."))
    assert lines_of(cells, 48) == [
        "NAME         SUMMARY",
        "slice.scale  Change how many instances of a",
        "             slice are wanted.",
    ]


def test_meanings_go_on_below_themselves() -> None:
    assert meanings_of({"show": "one slice: versions, instances, methods"}, 40) == [
        "  show  one slice: versions, instances,",
        "        methods",
    ]


def test_a_text_wider_than_the_terminal_is_wrapped_also_in_a_further_table() -> None:
    cells = (("A", "B", "C"), ("a" * 30, "b" * 100, "c" * 100))
    assert max(map(len, lines_of(cells, 40))) == 40


@settings(max_examples=25)
@given(
    st.integers(20, 120),
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.text("abc -", max_size=60), min_size=width, max_size=width), min_size=1, max_size=4
        )
    ),
)
def test_no_letter_is_lost_and_no_line_is_too_wide(wide: int, rows: list[list[str]]) -> None:
    lines = lines_of(tuple(map(tuple, rows)), wide)
    assert max(map(len, lines)) <= wide
    for letter in "abc":
        wanted = sum(text.count(letter) for row in rows for text in row)
        assert sum(line.count(letter) for line in lines) >= wanted


def test_log_lines_are_told_with_their_time_and_place(capsys: Capture) -> None:
    line = {"at_ms": 1_700_000_000_123, "level": "error", "event": "slice_failed", "node": "n1", "process": "w-1"}
    show_lines({"logs": [{**line, "reason": "a\x1b[2Kb", "instances": 3}], "silent": ["n2"]})
    first, second = capsys.readouterr().out.splitlines()
    assert ".123  error    n1/w-1  slice_failed  " in first
    assert first.endswith(r"reason=a\x1b[2Kb instances=3")
    assert first.startswith("2023-11-1")
    assert second == "nothing heard of n2"


def test_a_nodes_figures_are_told_by_windows(capsys: Capture) -> None:
    series: dict[str, list[float | None]] = {
        "cpu_cores": [None] * 590 + [0.5] * 10,
        "loop_lag_ms": [None] * 560 + [9.0] + [1.0] * 39,
        "requests": [30.0] * 600,
    }
    coarse = {**series, "requests": [300.0] * 720}
    show_node_figures({"node": "n1", "seconds": series, "ten_seconds": coarse})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][1:] == ["CPU", "CORES", "HIGHEST", "LOOP", "LAG", "MS", "REQUESTS", "PER", "S"]
    assert [row[2:] for row in rows[1:]] == [
        ["0.5", "1", "30"],
        ["0.5", "9", "30"],
        ["0.5", "9", "30"],
        ["0.5", "9", "30"],
    ]


def test_figures_are_told_by_windows(capsys: Capture) -> None:
    """Six hundred numbers in one line told nobody anything."""
    calls: list[float | None] = [None] * 540 + [1.0] * 50 + [2.0] * 10
    p99: list[float | None] = [None] * 580 + [9.5] + [None] * 10 + [4.0] * 9
    series = {name: [0.0] * 600 for name in ("errors", "rejected", "instances")}
    series |= {"calls": calls, "p50_ms": [None] * 600, "p95_ms": [None] * 600, "p99_ms": p99}  # type: ignore[dict-item]
    show_figures({"slice": "orders", "silent": [], "seconds": series, "ten_seconds": series})
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert [row[2] for row in rows[1:]] == ["20", "70", "70", "70"]
    assert [row[5] for row in rows[1:]] == ["4", "9.5", "9.5", "9.5"]
    assert "P95" not in said, "nothing was measured there"


def test_where_no_model_is_named_it_says_what_answers_and_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    show_model_status({"wanted": [], "providers": [], "told_by": "n1", "told_unix_ms": 1})
    assert capsys.readouterr().out == f"{NONE_NAMED}\n"
    show_model_status(
        {"wanted": ["anthropic"], "providers": [{"name": "anthropic", "state": "ready"}], "told_by": "n1"}
    )
    told = capsys.readouterr().out
    assert "anthropic  ready" in told
    assert NONE_NAMED not in told
