"""Lines on disk: the newest that fit a question, and rings that stay within their size."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from runtime.telemetry import lines
from runtime.telemetry.segments import SegmentWriter


def records(directory: Path, source: str, times_ms: list[int]) -> None:
    writer = SegmentWriter(directory, source)
    for at_ms in times_ms:
        writer.write(
            json.dumps({"at_ms": at_ms, "event": "e", "process": source, "trace_id": f"t{at_ms}"}).encode() + b"\n"
        )
    writer.close()


def test_a_query_gives_the_newest_that_fit_across_processes(tmp_path: Path) -> None:
    records(tmp_path, "a", [1, 3, 5])
    records(tmp_path, "b", [2, 4, 6])
    with (tmp_path / "b.00000001.jsonl").open("ab") as file:
        file.write(b'{"at_ms": 7, "torn')
    found = lines.find(tmp_path, lines.query_of({"limit": "3"}))
    assert [record["at_ms"] for record in found] == [6, 5, 4]
    assert [record["at_ms"] for record in lines.find(tmp_path, lines.query_of({"process": "a", "since_ms": "2"}))] == [
        5,
        3,
    ]
    assert [record["at_ms"] for record in lines.find(tmp_path, lines.query_of({"trace_id": "t2"}))] == [2]


def test_what_is_long_past_is_found_behind_more_than_a_query_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day's lines are more than that; an answer without a match would say that nothing happened."""
    hour_ms, now_ms = 3_600_000, int(time.time() * 1_000)
    records(tmp_path, "a", [now_ms - 2 * hour_ms])
    os.utime(tmp_path / "a.00000001.jsonl", (time.time() - 7_200,) * 2)
    records(tmp_path, "b", [now_ms] * 50)
    monkeypatch.setattr(lines, "READ_BYTES_MAX", 1_000)
    past = {"since_ms": str(now_ms - 3 * hour_ms), "until_ms": str(now_ms - hour_ms)}
    assert [record["process"] for record in lines.find(tmp_path, lines.query_of(past))] == ["a"]
    assert lines.find(tmp_path, lines.query_of({**past, "since_ms": str(now_ms - hour_ms)})) == []


@pytest.mark.parametrize("words", [{"limit": "0"}, {"limit": "many"}, {"limit": "1001"}, {"colour": "red"}])
def test_a_query_that_makes_no_sense_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(lines.QueryInvalid):
        lines.query_of(words)


def test_pruning_takes_the_oldest_and_spares_what_is_written_now(tmp_path: Path) -> None:
    for number in range(1, 5):
        path = tmp_path / f"a.{number:08d}.jsonl"
        path.write_bytes(bytes(100))
        os.utime(path, (4_000_000_000 + number, 4_000_000_000 + number))
    lines.prune(tmp_path, bytes_max=250, age_s_max=1e9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.00000003.jsonl", "a.00000004.jsonl"]
    lines.prune(tmp_path, bytes_max=10, age_s_max=1e9)
    assert [path.name for path in tmp_path.iterdir()] == ["a.00000004.jsonl"]


def test_lines_of_one_instance_and_of_all_of_a_slice_are_found(tmp_path: Path) -> None:
    said = [
        {"at_ms": at, "instance": name} for at, name in enumerate(("orders/1", "orders/2", "orders-old/1", "", "x"))
    ]
    (tmp_path / "w.00000001.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in said))
    found = {
        name: [each["at_ms"] for each in lines.find(tmp_path, lines.query_of({"instance": name}))]
        for name in ("orders/1", "orders", "orders-old", "order", "")
    }
    assert found == {"orders/1": [0], "orders": [1, 0], "orders-old": [2], "order": [], "": [4, 3, 2, 1, 0]}


def test_a_process_that_was_long_silent_is_heard_again(tmp_path: Path) -> None:
    """Its segment is pruned for its age; what it writes then must not go to a file that nobody can find."""
    writer = SegmentWriter(tmp_path, "store")
    writer.write(b"old\n")
    writer.flush()
    (segment,) = tmp_path.iterdir()
    os.utime(segment, (1, 1))
    assert lines.prune(tmp_path, bytes_max=1_000, age_s_max=60.0) == 4
    writer.write(b"new\n")
    writer.close()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new\n"]


def test_segments_of_processes_that_are_gone_count_as_all_others(tmp_path: Path) -> None:
    """Each worker leaves its last segment behind; a day of deployments must not fill the disk with them."""
    for number in range(10):
        path = tmp_path / f"w-{number}.00000001.jsonl"
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - 7_200 + number,) * 2)
    assert lines.prune(tmp_path, bytes_max=250, age_s_max=1e9) == 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w-8.00000001.jsonl", "w-9.00000001.jsonl"]
