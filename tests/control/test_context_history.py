"""The history of minutes: what was told stays, whatever happens to process, clock, file or disk."""

from __future__ import annotations

import math
import random
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.context.errors import HistoryForeign, HourDamaged
from controllers.context.history_file import HistoryFile, Span
from controllers.context.hour import BLOCK_BYTES, MINUTES, Hour
from controllers.context.minute import COLUMNS, COVERED_S_MIN, FEATURES, MinuteGatherer, SliceMinute
from runtime.telemetry.figures import SliceFigures, VersionFigures

MIB = 2**20
HOUR = 480_000  # some hour since 1970
MINUTE = HOUR * MINUTES


def opened(tmp_path: Path, *, days: int = 14, bytes_max: int = 64 * MIB) -> HistoryFile:
    return HistoryFile(tmp_path / "history" / "minutes.db", days=days, bytes_max=bytes_max)


def told(minute: int, invocations: float = 1.0, *, name: str = "tea", version: str = "1") -> SliceMinute:
    return SliceMinute(slice=name, version=version, minute=minute, invocations=invocations)


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=True)
    )


# -- minutes -----------------------------------------------------------------------------------------------------------


def test_a_minute_is_what_its_seconds_were() -> None:
    gatherer = MinuteGatherer()
    for _ in range(60):
        gatherer.take(
            SliceFigures(
                calls=2,
                errors=1,
                instances=3,
                buckets={160: 2},
                busy_us=5_000,
                cpu_s=0.5,
                rss_bytes=64 * MIB,
                loop_lag_ms=4.0,
                versions={"1": VersionFigures(calls=1, instances=1), "2": VersionFigures(calls=1, instances=2)},
            ),
            1,
        )
    minute = gatherer.minute("tea", 7)
    assert minute is not None
    assert (minute.invocations, minute.cpu_usage, minute.memory_usage) == (120.0, 0.5, 64.0)
    assert (minute.latency_ms, minute.error_rate, minute.instances, minute.version) == (2.5, 0.5, 3.0, "2")
    assert minute.p50_ms == minute.p99_ms > 0
    assert math.isnan(minute.event_count)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.integers(0, 1_000))
def test_seconds_that_were_missed_do_not_change_a_steady_rate(covers: list[int], rate: int) -> None:
    gatherer = MinuteGatherer()
    for seconds in covers:
        gatherer.take(SliceFigures(calls=rate * seconds), seconds)
    minute = gatherer.minute("tea", 7)
    if sum(covers) < COVERED_S_MIN:
        assert minute is None
    else:
        assert minute is not None
        assert minute.invocations == pytest.approx(rate * 60)
        assert math.isnan(minute.latency_ms) == (rate == 0)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_what_is_no_number_of_this_world_is_not_known(value: float) -> None:
    kept = told(MINUTE, value).row()[COLUMNS.index("invocations")]
    assert math.isnan(kept) or 0 <= kept < math.inf
    struct.pack("f", kept)


def test_the_schema_has_the_eleven_features_by_name() -> None:
    assert len(FEATURES) == 11
    assert set(FEATURES) <= set(SliceMinute.__struct_fields__)


# -- hours -------------------------------------------------------------------------------------------------------------

rows = st.dictionaries(
    st.integers(0, 59),
    st.tuples(st.integers(0, 10**6).map(lambda low: [low + at for at in range(12)]), st.sampled_from(["1", "2"])),
    max_size=6,
)


def hour_of(minutes: dict[int, tuple[list[int], str]]) -> Hour:
    hour = Hour()
    for minute, (row, version) in minutes.items():
        hour.put(minute, row, version)
    return hour


@given(rows)
def test_an_hour_comes_back_as_it_was_packed(minutes: dict[int, tuple[list[int], str]]) -> None:
    hour = hour_of(minutes)
    again = Hour.unpack(hour.pack())
    assert again.versions == hour.versions
    assert all(same(again.row(minute), hour.row(minute)) for minute in range(MINUTES))
    assert again.known == sum(1 << minute for minute in minutes)


@given(rows, rows)
def test_what_two_nodes_know_of_an_hour_is_known_once(
    own: dict[int, tuple[list[int], str]], other: dict[int, tuple[list[int], str]]
) -> None:
    hour = hour_of(own)
    assert hour.fill(hour_of(other)) == len(other.keys() - own.keys())
    for minute, (row, version) in (other | own).items():
        assert same(hour.row(minute), row)
        assert hour.versions[minute] == version
    assert hour.fill(hour_of(other)) == 0


@given(st.binary(max_size=400))
def test_bytes_that_are_no_hour_are_refused(raw: bytes) -> None:
    with pytest.raises(HourDamaged):
        Hour.unpack(raw)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_found_or_changes_no_figure(at: int, change: int) -> None:
    """A damaged disk must not invent load."""
    hour = hour_of({minute: ([1.0 + minute] * 12, "1") for minute in range(60)})
    raw = bytearray(hour.pack())
    raw[at % len(raw)] ^= change
    try:
        again = Hour.unpack(bytes(raw))
    except HourDamaged:
        return
    assert all(same(again.row(minute), hour.row(minute)) for minute in range(MINUTES))


def test_an_hour_that_unpacks_to_gigabytes_is_refused_at_once() -> None:
    import zlib

    from controllers.context.hour import _encode
    from controllers.context.minute import SCHEMA_VERSION

    bomb = zlib.compress(bytes(50 * BLOCK_BYTES))
    with pytest.raises(HourDamaged, match="columns"):
        Hour.unpack(_encode([SCHEMA_VERSION, [[0, "1"]], bomb]))


# -- the file ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.data())
def test_any_minutes_told_in_any_order_are_loaded_as_last_told(data: st.DataObject) -> None:
    """Against a dictionary: sealing, gaps, and minutes told again after the clock was set back change nothing."""
    told_ones = data.draw(
        st.lists(st.tuples(st.sampled_from(["tea", "milk"]), st.integers(0, 200), st.integers(0, 1_000)), max_size=30)
    )
    seal_after = data.draw(st.sets(st.integers(0, 29)))
    file = HistoryFile(Path(":memory:"), days=14, bytes_max=64 * MIB)
    known: dict[tuple[str, int], float] = {}
    for number, (name, minute, calls) in enumerate(told_ones):
        file.append([told(MINUTE + minute, float(calls), name=name)])
        known[name, minute] = float(calls)
        if number in seal_after:
            file.seal(MINUTE + data.draw(st.integers(0, 260)))
    first, count = data.draw(st.integers(-70, 210)), data.draw(st.integers(0, 150))
    for name in ("tea", "milk"):
        (found,) = file.load([Span(name, MINUTE + first, count)])
        assert same(found, [known.get((name, minute), math.nan) for minute in range(first, first + count)])
    file.close()


def test_history_outlives_its_process(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.append([told(MINUTE, 5.0)])
    file.close()
    assert opened(tmp_path).load([Span("tea", MINUTE, 1)])[0].tolist() == [5.0]


def test_a_minute_that_is_told_again_is_replaced_also_when_it_was_packed(tmp_path: Path) -> None:
    """After the clock was set back the first telling was of another time."""
    file = opened(tmp_path)
    file.append([told(MINUTE, 5.0)])
    file.append([told(MINUTE, 6.0)])
    assert file.load([Span("tea", MINUTE, 1)])[0].tolist() == [6.0]
    file.seal(MINUTE + 60)
    file.append([told(MINUTE, 7.0)])
    file.seal(MINUTE + 120)
    assert file.load([Span("tea", MINUTE, 1)])[0].tolist() == [7.0]


def test_every_column_can_be_loaded(tmp_path: Path) -> None:
    file = opened(tmp_path)
    figures = {name: float(at) for at, name in enumerate(COLUMNS)}
    file.append([SliceMinute(slice="tea", version="1", minute=MINUTE, **figures)])  # type: ignore[arg-type]  # by name
    for now in (MINUTE, MINUTE + 60):
        file.seal(now)
        found = file.load([Span("tea", MINUTE, 1, name) for name in COLUMNS])
        assert [each[0] for each in found] == list(figures.values())


def test_a_slice_of_another_name_begins_without_history(tmp_path: Path) -> None:
    """A renamed slice is another one: what was learnt under the old name stays there until it is too old."""
    file = opened(tmp_path)
    file.append([told(MINUTE, 5.0, name="old")])
    file.append([told(MINUTE + 1, 5.0, name="new")])
    assert same(file.load([Span("new", MINUTE, 2)])[0], [math.nan, 5.0])
    assert file.slices() == ["new", "old"]


def test_what_is_too_old_goes_but_not_for_one_wrong_hour(tmp_path: Path) -> None:
    """A clock that jumps a year ahead and back must not cost the history."""
    file, day = opened(tmp_path), 24 * MINUTES
    file.append([told(MINUTE)])
    file.seal(MINUTE + 60)
    file.seal(MINUTE + 365 * day)
    file.seal(MINUTE + 120)
    assert file.slices() == ["tea"]
    file.seal(MINUTE + 15 * day)
    file.seal(MINUTE + 15 * day + 60)
    assert file.slices() == []


HOURS = 300


def test_the_file_keeps_within_its_size_and_the_newest_stay(tmp_path: Path) -> None:
    limit = 96 * 1024
    file, chance = opened(tmp_path, bytes_max=limit), random.Random(1)
    for hour in range(HOURS):
        file.append(
            [told(MINUTE + hour * 60 + minute, chance.random(), name=f"s{n}") for n in range(4) for minute in (0, 59)]
        )
        file.seal(MINUTE + hour * 60 + 60)
    assert file.nbytes <= limit
    newest = file.load([Span("s3", MINUTE + HOURS * 60 - 1, 1)])[0]
    assert not math.isnan(newest[0])
    assert (tmp_path / "history" / "minutes.db").stat().st_size <= limit + 64 * 1024


def test_a_damaged_hour_is_missing_and_the_rest_is_there(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.append([told(MINUTE), told(MINUTE + 60, 7.0)])
    file.seal(MINUTE + 120)
    file._database.execute("UPDATE hours SET packed = x'00ff' WHERE hour = ?", (HOUR,))
    assert same(file.load([Span("tea", MINUTE + 59, 2)])[0], [math.nan, 7.0])
    assert math.isnan(file.load([Span("tea", MINUTE, 1)])[0][0])


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_what_is_no_history_is_refused_or_begun(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history" / "minutes.db"
    path.parent.mkdir()
    path.write_bytes(content)
    if content:
        with pytest.raises(sqlite3.DatabaseError):
            opened(tmp_path)
    else:
        assert opened(tmp_path).slices() == []


def test_the_file_of_a_later_release_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "history" / "minutes.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(HistoryForeign):
        opened(tmp_path)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 130), st.booleans(), st.booleans()), max_size=25, unique_by=lambda each: each[0])
)
def test_two_nodes_that_fill_each_other_know_the_same(minutes: list[tuple[int, bool, bool]]) -> None:
    one, other = (HistoryFile(Path(":memory:"), days=14, bytes_max=64 * MIB) for _ in range(2))
    for minute, in_one, in_other in minutes:
        for file, has in ((one, in_one), (other, in_other)):
            if has:
                file.append([told(MINUTE + minute, float(minute))])
    for file in (one, other):
        file.seal(MINUTE + 60)
    for to, source in ((one, other), (other, one)):
        have, theirs = to.known(HOUR, 3), source.known(HOUR, 3)
        to.fill({key: source.hour(*key).pack() for key, mask in theirs.items() if mask & ~have.get(key, 0)})
    union = [float(m) if any(m == minute and (a or b) for minute, a, b in minutes) else math.nan for m in range(131)]
    for file in (one, other):
        assert same(file.load([Span("tea", MINUTE, 131)])[0], union)
        file.close()


KILLED = """
import sys
from pathlib import Path
from controllers.context.history_file import HistoryFile
from controllers.context.minute import SliceMinute
file = HistoryFile(Path(sys.argv[1]), days=14, bytes_max=1 << 26)
for minute in range(1_000_000):
    told = dict(version="1", minute=28_800_000 + minute, invocations=minute)
    file.append([SliceMinute(slice=f"s{n}", **told) for n in range(20)])
    file.seal(28_800_000 + minute)
    print(minute, flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_writes_loses_no_minute_that_it_had_told(tmp_path: Path) -> None:
    path = tmp_path / "history" / "minutes.db"
    writer = subprocess.Popen([sys.executable, "-P", "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    last = 0
    for line in writer.stdout:
        last = int(line)
        if last >= 150:  # more than two hours were packed meanwhile
            break
    writer.kill()
    last = max([last, *(int(line) for line in writer.stdout.read().split("\n")[:-1])])
    writer.wait()
    writer.stdout.close()
    file = opened(tmp_path)
    for loaded in file.load([Span(f"s{n}", 28_800_000, last + 1) for n in (0, 19)]):
        assert loaded.tolist() == [float(minute) for minute in range(last + 1)]
    assert file._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
