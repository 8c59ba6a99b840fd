"""The log and the snapshot on disk: what was synced is there again; damage is told apart from a torn end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.consensus.raft.journal import Journal, LogDamaged
from runtime.consensus.raft.snapshot import SnapshotDamaged, StateFile, read_state, write_state

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.binary(max_size=40)),
        st.tuples(st.just("cut"), st.integers(0, 8)),
        st.tuples(st.just("drop"), st.integers(0, 8)),
        st.tuples(st.just("term"), st.sampled_from(["n1", "n2", None])),
    ),
    max_size=25,
)


@given(steps)
def test_a_log_that_is_opened_again_is_what_it_was(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    path = tmp_path_factory.mktemp("log") / "log.bin"
    journal = Journal(path)
    index, term = 0, 0
    for step, argument in steps:
        if step == "add":
            index += 1
            journal.add(argument, index, term)
        elif step == "cut":
            journal.deleteEntriesFrom(argument)
        elif step == "drop":
            journal.deleteEntriesTo(argument)
        else:
            term += 1
            journal.setCurrentTerm(term, argument)
    journal.sync()
    again = Journal(path)
    assert again[:] == journal[:]
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (
        journal.getCurrentTerm(),
        journal.getVotedForNodeId(),
    )


def written(path: Path, count: int = 20) -> bytes:
    journal = Journal(path)
    for index in range(1, count + 1):
        journal.add(b"command %d" % index, index, 1)
    journal.sync()
    return path.read_bytes()


def test_a_torn_end_is_cut_off_and_the_rest_stays(tmp_path: Path) -> None:
    """A crash while writing leaves half a record; nothing in it was acknowledged."""
    path = tmp_path / "log.bin"
    raw = written(path)
    for length in range(len(raw) - 40, len(raw)):
        path.write_bytes(raw[:length])
        journal = Journal(path)
        assert len(journal) in (18, 19)
        journal.add(b"more", 21, 1)
        journal.sync()
        assert Journal(path)[-1] == (b"more", 21, 1)


def test_a_flipped_bit_in_the_middle_refuses_to_start(tmp_path: Path) -> None:
    """Going on would forget what was acknowledged behind it."""
    path = tmp_path / "log.bin"
    raw = bytearray(written(path))
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(LogDamaged):
        Journal(path)


def test_the_log_is_for_its_owner_only(tmp_path: Path) -> None:
    written(tmp_path / "log.bin")
    assert (tmp_path / "log.bin").stat().st_mode & 0o777 == 0o600


def test_what_is_unsynced_is_not_on_disk_and_sync_puts_it_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.bin")
    journal.add(b"x", 1, 1)
    assert os.path.getsize(tmp_path / "log.bin") == 0
    journal.sync()
    assert os.path.getsize(tmp_path / "log.bin") > 0


def test_a_snapshot_is_read_as_it_was_written_and_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    state = StateFile(before=(b"\0a", 4, 1), last=(b"\0b", 5, 2), members={"n1": "a:1"}, state=b"everything")
    write_state(path, state)
    assert read_state(path) == state
    raw = bytearray(path.read_bytes())
    for at in (0, 10, len(raw) - 1):
        raw[at] ^= 1
        path.write_bytes(raw)
        with pytest.raises(SnapshotDamaged):
            read_state(path)
        raw[at] ^= 1
    path.write_bytes(raw[:3])
    with pytest.raises(SnapshotDamaged):
        read_state(path)
