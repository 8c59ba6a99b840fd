"""The data that forecasts are trained from: whole over all pages, and the same in a file as in the history."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_api.cli.controller import HEADER, TableUnwritable, rows_of, table_in
from agent_api.cli.main import main
from controllers.context.errors import HistoryAway
from controllers.context.history import MinuteHistory
from controllers.context.minute import COLUMNS, FEATURES, SliceMinute
from controllers.context.queries import TrainingDataPage, TrainingDataRequest, TrainingHour
from controllers.context.training_data import TrainingData
from runtime.operations.queries.page import CursorInvalid, cursor_of
from runtime.sdk.testing import CollectedLog
from tests.unit.api_stub import Reply, StubApi

pytestmark = pytest.mark.anyio

MINUTE = 480_000 * 60


@pytest.fixture
async def data(tmp_path: Path) -> TrainingData:
    history = MinuteHistory(tmp_path / "history", days=14, bytes_max=1 << 26, log=CollectedLog())

    def minute(name: str, at: int) -> SliceMinute:
        return SliceMinute(slice=name, version="1", minute=MINUTE + at, invocations=at + 0.1, p95_ms=7.0)

    told = [minute(name, at) for name in ("tea", "milk") for at in range(0, 250, 25)]
    await history.ask(lambda file: file.append(told))
    await history.ask(lambda file: file.seal(MINUTE + 130))  # some hours are packed, some are not
    return TrainingData(history)


async def all_hours(data: TrainingData, **asked: object) -> list[TrainingHour]:
    found: list[TrainingHour] = []
    cursor = ""
    while True:
        page = await data.page(TrainingDataRequest(cursor=cursor, **asked))  # type: ignore[arg-type]
        found += msgspec.json.decode(msgspec.json.encode(page), type=TrainingDataPage).items
        cursor = page.next
        if not cursor:
            return found


@pytest.mark.parametrize("limit", [1, 3, 10, 48])
async def test_all_pages_together_are_all_there_is(data: TrainingData, limit: int) -> None:
    hours = await all_hours(data, limit=limit)
    assert [(hour.slice, hour.first_minute - MINUTE) for hour in hours] == [
        (name, at) for name in ("milk", "tea") for at in range(0, 240, 60)
    ]
    rows = [row for hour in hours for row in rows_of(hour)]
    assert len(rows) == 20
    assert [row[HEADER.index("invocations")] for row in rows[:10]] == [
        pytest.approx(at + 0.1) for at in range(0, 250, 25)
    ]


async def test_one_slice_and_a_time_can_be_chosen(data: TrainingData) -> None:
    hours = await all_hours(data, slice="tea", since_minute=MINUTE + 61, until_minute=MINUTE + 130)
    assert [(hour.slice, hour.first_minute - MINUTE) for hour in hours] == [("tea", 60), ("tea", 120)]


@pytest.mark.parametrize("cursor", ["x", cursor_of(("tea",)), cursor_of((1, "tea")), cursor_of(("tea", 1 << 62))])
async def test_a_cursor_of_another_list_is_refused(data: TrainingData, cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        await data.page(TrainingDataRequest(cursor=cursor))


async def test_a_worker_node_says_where_to_ask() -> None:
    with pytest.raises(HistoryAway, match="core nodes"):
        await TrainingData(None).page(TrainingDataRequest())


async def test_a_table_has_the_eleven_features_by_their_names_and_empty_for_what_is_not_known(
    data: TrainingData, tmp_path: Path
) -> None:
    rows = [row for hour in await all_hours(data) for row in rows_of(hour)]
    with table_in(tmp_path / "data.csv") as table:
        table.write(rows)
    with (tmp_path / "data.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert set(FEATURES) <= set(read[0])
    assert (read[0]["slice"], read[0]["minute"], read[0]["invocations"]) == ("milk", str(MINUTE), "0.1")
    assert read[0]["cpu_usage"] == ""


@pytest.mark.slow  # pyarrow takes half a second to import
async def test_parquet_has_the_same(data: TrainingData, tmp_path: Path) -> None:
    import pyarrow.parquet

    rows = [row for hour in await all_hours(data) for row in rows_of(hour)]
    with table_in(tmp_path / "data.parquet") as table:
        table.write(rows[:7])
        table.write([])
        table.write(rows[7:])
    read = pyarrow.parquet.read_table(tmp_path / "data.parquet")
    assert tuple(read.column_names) == HEADER
    assert read.column("minute").to_pylist() == [row[2] for row in rows]
    assert read.column("p95_ms").to_pylist() == [7.0] * 20
    assert read.column("cpu_usage").null_count == 20


@pytest.mark.parametrize("name", ["data.txt", "missing/data.csv", "missing/data.parquet"])
def test_a_file_that_cannot_be_written_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableUnwritable), table_in(tmp_path / name):
        pass


@given(st.lists(st.floats(0, 2.0**100, width=32) | st.just(math.nan), min_size=60, max_size=60))
def test_what_is_known_is_told_to_all_the_digits_that_it_has(values: list[float]) -> None:
    from controllers.context.history_file import HourPlace
    from controllers.context.hour import Hour
    from controllers.context.training_data import _row

    hour = Hour()
    for at, value in enumerate(values):
        hour.put(at, [value] * len(COLUMNS), "1")
    told = msgspec.json.decode(msgspec.json.encode(_row(HourPlace("tea", 1), hour)), type=TrainingHour)
    for value, found in zip(values, told.columns["invocations"], strict=True):
        assert (found is None and math.isnan(value)) or found == pytest.approx(value, rel=1e-6)


def test_a_reader_that_has_enough_is_no_failure_of_the_table() -> None:
    """`| head` ends the pipe: the command ends as any that writes to one does."""
    with pytest.raises(BrokenPipeError), table_in(None):
        raise BrokenPipeError


def test_who_asks_for_a_slice_that_nobody_knows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is misspelt must not become an empty table that training then stumbles over."""
    page = {"items": [], "next": "", "revision": 1, "stale": False}
    with StubApi(Reply(page)).serving() as api:
        words = ["controller", "training-data", str(tmp_path / "x.csv"), "--slice", "order", "--api", api.address]
        assert main(words) == 1
    assert "no minute of 'order' is known" in capsys.readouterr().err
