"""The log on disk: what was synced is there again; a torn end is cut off, damage before it is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evals.simulation.disk import SimulatedDisk
from runtime.consensus.raft import records as r
from runtime.consensus.raft.disk import Disk, RealDisk
from runtime.consensus.raft.log import Log, Owner
from runtime.consensus.raft.writer import Batch, Done, write_batch

OWNER = Owner(1, "c", "n1")


class Now:
    """Implements Writer: writes at once, or keeps what it was given until told."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.holds = False
        self.held: list[tuple[Batch, Done]] = []

    def write(self, batch: Batch, done: Done) -> None:
        if self.holds:
            for name, data in batch.appends:
                self.disk.append(name, data)
            self.held.append((batch, done))
            return
        write_batch(self.disk, batch)
        done(batch.position, 0.0, None)

    def close(self) -> None: ...


def open_log(disk: SimulatedDisk, *, segment_bytes: int = 400) -> tuple[Log, Now]:
    writer = Now(disk)
    return Log(disk, writer, OWNER, segment_bytes=segment_bytes), writer


class AgainstAList(RuleBasedStateMachine):
    """Whatever is done, and however often it is opened again, the log is what was synced, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk(random.Random(0))
        self.log, self.writer = open_log(self.disk)
        self.entries: list[tuple[bytes, int, int]] = []
        self.term, self.vote = 0, ""

    @rule(body=st.binary(max_size=60), term=st.integers(1, 5))
    def adds(self, body: bytes, term: int) -> None:
        index = self.entries[-1][1] + 1 if self.entries else 1
        self.log.add(body, index, term)
        self.entries.append((body, index, term))
        self.log.flush()

    @precondition(lambda self: len(self.entries) > 1)
    @rule(share=st.floats(0, 1))
    def cuts(self, share: float) -> None:
        at = max(1, int(share * len(self.entries)))
        if at < len(self.entries):
            self.log.cut_from(self.entries[at][1])
            del self.entries[at:]
            self.log.flush()

    @precondition(lambda self: len(self.entries) > 1)
    @rule(share=st.floats(0, 0.9))
    def forgets(self, share: float) -> None:
        at = int(share * len(self.entries))
        self.log.forget_to(self.entries[at][1])
        del self.entries[:at]
        self.log.flush()

    @rule(index=st.integers(1, 50), term=st.integers(1, 5))
    def is_reset(self, index: int, term: int) -> None:
        self.log.reset(index, term)
        self.entries = [(b"", index, term)]
        self.log.flush()

    @rule(term=st.integers(1, 9), vote=st.sampled_from(["", "n1", "n2"]))
    def votes(self, term: int, vote: str) -> None:
        self.log.setCurrentTerm(term, vote or None)
        self.term, self.vote = term, vote
        self.log.flush()

    @rule()
    def loses_power_with_something_unsynced(self) -> None:
        self.writer.holds = True
        if self.entries:
            self.log.add(b"lost " * 300, self.entries[-1][1] + 1, 9)
        else:
            self.log.setCurrentTerm(self.term, self.vote or None)
        self.log.flush()
        self.disk.crash()
        self.opens_again()

    @rule(body=st.binary(max_size=600))
    def is_killed_with_something_unsynced(self, body: bytes) -> None:
        """The system still holds what the process wrote, so the next process finds it, and must make it last."""
        self.writer.holds = True
        self.adds(body, 9)
        self.opens_again()

    @rule()
    def opens_again(self) -> None:
        self.log, self.writer = open_log(self.disk)

    @invariant()
    def is_what_was_synced(self) -> None:
        """The oldest segment may still hold entries from before the base; the newest entries are exact."""
        count = len(self.entries)
        kept = list(self.log[0 : len(self.log)])
        if count:
            kept = [entry for entry in kept if entry[1] >= self.entries[0][1]]
        if len(kept) > count:  # all of an unsynced batch may have reached the disk
            assert kept.pop()[0].startswith(b"lost")
            self.log.cut_from(self.log.last_index)
            self.log.flush()
        assert [entry[1:] for entry in kept] == [entry[1:] for entry in self.entries]
        assert kept[1:] == self.entries[1:]
        assert (self.log.getCurrentTerm(), self.log.getVotedForNodeId() or "") == (self.term, self.vote)


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=60, stateful_step_count=30)


def written(count: int) -> tuple[SimulatedDisk, str]:
    """A log of `count` batches in one segment."""
    disk = SimulatedDisk(random.Random(0))
    log, _ = open_log(disk, segment_bytes=1_000_000)
    for number in range(1, count + 1):
        log.add(f"entry {number}".encode() * 5, number, 1)
        log.flush()
    (name,) = disk.names()
    return disk, name


@settings(max_examples=60)
@given(st.floats(0, 1), st.integers(0, 7))
def test_a_flipped_bit_before_the_last_batch_is_never_read_as_if_nothing_was(share: float, bit: int) -> None:
    disk, name = written(12)
    data = disk._files[name].data
    whole = r.scan(bytes(data), name=name, batch=0, newest=True)
    last_batch = len(r.pack_batch([record for record in whole.records if record.batch == 12], 12))
    data[int(share * (len(data) - last_batch - 1))] ^= 1 << bit
    with pytest.raises(r.LogDamaged):
        open_log(disk)


@settings(max_examples=60)
@given(st.floats(0, 1))
def test_a_torn_end_is_cut_off_at_a_batch(share: float) -> None:
    disk, name = written(12)
    data = disk._files[name].data
    del data[int(share * len(data)) :]
    log, _ = open_log(disk)
    assert [entry[1] for entry in log[0 : len(log)]] == list(range(1, len(log) + 1))


def test_a_log_whose_middle_segment_is_missing_is_refused() -> None:
    disk = SimulatedDisk(random.Random(0))
    log, _ = open_log(disk, segment_bytes=100)
    for number in range(1, 20):
        log.add(b"x" * 50, number, 1)
        log.flush()
    assert len(disk.names()) > 3
    disk.remove(disk.names()[1])
    with pytest.raises(r.LogDamaged):
        open_log(disk)


def test_a_log_of_another_cluster_or_member_is_refused() -> None:
    disk, _ = written(3)
    for owner in (Owner(1, "other", "n1"), Owner(1, "c", "n2"), Owner(2, "c", "n1")):
        with pytest.raises(r.LogDamaged, match="is the log of n1 in cluster c"):
            Log(disk, Now(disk), owner)


@given(st.binary(max_size=300))
def test_garbage_is_no_log_and_raises_nothing_else(raw: bytes) -> None:
    try:
        found = r.scan(raw, name="x", batch=0, newest=True)
    except r.LogDamaged:
        return
    assert found.good <= len(raw)


def test_nothing_counts_as_durable_before_its_sync() -> None:
    disk = SimulatedDisk(random.Random(0))
    log, writer = open_log(disk)
    log.add(b"a", 1, 1)
    log.flush()
    writer.holds = True
    log.add(b"b", 2, 1)
    log.flush()
    log.add(b"c", 3, 1)
    log.flush()
    assert log.durable_index == 1
    assert len(writer.held) == 1, "one batch at a time: the next gathers"
    batch, done = writer.held.pop()
    done(batch.position, 0.0, None)
    assert log.durable_index == 2


@pytest.mark.parametrize("segment_bytes", [100, 100_000], ids=["in a new segment", "amid a segment"])
def test_what_a_killed_process_had_not_synced_is_on_disk_before_the_next_one_counts_it(segment_bytes: int) -> None:
    """Else a member acknowledges what the next power loss takes. A process that dies leaves to the system what it
    wrote; power that is lost leaves nothing."""
    for chance in range(8):
        disk = SimulatedDisk(random.Random(chance))
        log, writer = open_log(disk, segment_bytes=segment_bytes)
        log.add(b"base", 1, 1)
        log.flush()
        writer.holds = True
        log.add(b"x" * 2_000, 2, 1)
        log.flush()
        assert log.durable_index == 1
        counted = open_log(disk, segment_bytes=segment_bytes)[0].durable_index
        disk.crash()
        assert open_log(disk, segment_bytes=segment_bytes)[0].last_index == counted == 2


def test_a_segment_is_on_disk_before_the_next_one_begins_whoever_wrote_it() -> None:
    """Else the member refuses to start: only the newest segment may end in a torn batch."""
    for chance in range(8):
        disk = SimulatedDisk(random.Random(chance))
        log, writer = open_log(disk)
        writer.holds = True
        log.add(b"x" * 2_000, 1, 1)
        log.flush()
        again, _ = open_log(disk)
        again.add(b"y", 2, 1)
        again.flush()
        assert len(disk.names()) == 2
        disk.crash()
        assert open_log(disk)[0].last_index == 2


def test_a_real_file_keeps_room_of_zeros_and_gives_back_what_was_appended(tmp_path: Path) -> None:
    """Room taken for damage would keep a member from starting; room taken for entries would be worse."""
    first = RealDisk(tmp_path)
    log = Log(first, Now(first), OWNER, segment_bytes=4_000)
    for number in range(1, 40):
        log.add(b"\x00" + bytes(300) + bytes((number, 0, 0)), number, 1)
        log.flush()
    first.close()
    segments = sorted(path for path in tmp_path.iterdir() if path.suffix == ".wal")
    assert len(segments) > 2
    assert all(path.stat().st_size > 4_000 + 400 for path in segments)
    again = RealDisk(tmp_path)
    reopened = Log(again, Now(again), OWNER, segment_bytes=4_000)
    assert [entry[1] for entry in reopened.from_index(1, 100)] == list(range(1, 40))
    reopened.add(b"\x00more", 40, 1)
    reopened.flush()
    again.close()
    last = RealDisk(tmp_path)
    assert Log(last, Now(last), OWNER, segment_bytes=4_000).last_index == 40
    last.close()


def test_a_batch_that_became_zeros_in_an_old_segment_is_missed(tmp_path: Path) -> None:
    """Zeros are room at a segment's end only if the next segment goes on where it ended."""
    disk = RealDisk(tmp_path)
    log = Log(disk, Now(disk), OWNER, segment_bytes=1_000)
    for number in range(1, 12):
        log.add(b"\x00" + b"x" * 300, number, 1)
        log.flush()
    disk.close()
    oldest = min(path for path in tmp_path.iterdir() if path.suffix == ".wal")
    data = oldest.read_bytes()
    oldest.write_bytes(data[: len(data.rstrip(b"\0")) - 300] + bytes(300))
    with pytest.raises(r.LogDamaged):
        again = RealDisk(tmp_path)
        Log(again, Now(again), OWNER, segment_bytes=1_000)


def test_a_whole_batch_that_became_zeros_in_an_old_segment_is_missed(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    log = Log(disk, Now(disk), OWNER, segment_bytes=1_000)
    ends = []
    for number in range(1, 12):
        log.add(b"\x00" + b"x" * 300, number, 1)
        log.flush()
        oldest = min(path for path in tmp_path.iterdir() if path.suffix == ".wal")
        ends.append(len(oldest.read_bytes().rstrip(b"\0")))
    disk.close()
    before_last = sorted(set(ends))[-2]
    data = oldest.read_bytes()
    oldest.write_bytes(data[:before_last] + bytes(len(data) - before_last))
    with pytest.raises(r.LogDamaged, match="missing"):
        again = RealDisk(tmp_path)
        Log(again, Now(again), OWNER, segment_bytes=1_000)
