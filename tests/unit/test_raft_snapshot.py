"""Snapshots: what was written is read; anything else is refused before it replaces a state."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.simulation.disk import SimulatedDisk
from runtime.consensus import commands as c
from runtime.consensus.machine import Machine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.raft.snapshot import MAGIC, OWN, Header, SnapshotDamaged, SnapshotWriter, read_snapshot
from runtime.consensus.state_blocks import BLOCK_ITEMS, BLOCK_WEIGHT
from runtime.consensus.store import Get, LeaseId, Put


def machine_of(keys: int) -> Machine:
    machine = Machine()
    machine.apply(c.encode(c.Envelope(c.Grant(5_000))))
    machine.apply(c.encode(c.Envelope(c.OpenSession())))
    for number in range(keys):
        put = Put(key=f"k/{number}", value=str(number).encode())
        machine.apply(c.encode(c.Envelope(c.Txn((), (put,)), 1, number, number)))
    return machine


def snapshot_of(machine: Machine) -> bytes:
    disk = SimulatedDisk(random.Random(0))
    header = Header(cluster="c", index=7, term=3, members={"n1": Peer("a:1")})
    writer = SnapshotWriter(disk, header, machine.snapshot())
    while writer.step():
        pass
    return disk.read(OWN)


WHOLE = snapshot_of(machine_of(BLOCK_ITEMS * 2 + 3))


def test_a_state_comes_back_as_it_was() -> None:
    machine = machine_of(BLOCK_ITEMS * 2 + 3)
    header, blocks = read_snapshot(snapshot_of(machine), cluster="c")
    assert (header.index, header.term, header.members) == (7, 3, {"n1": Peer("a:1")})
    other = Machine()
    other.restore(blocks)
    assert other.full_hash() == machine.full_hash()


def test_what_changes_while_it_is_written_is_not_in_it() -> None:
    machine = machine_of(10)
    before = machine.full_hash()
    blocks = machine.snapshot()
    first = next(blocks)
    for command in (c.Tick(1_000), c.Tick(1_000), c.Txn((), (Put(key="k/1", value=b"new"),)), c.OpenSession()):
        machine.apply(c.encode(c.Envelope(command)))
    other = Machine()
    other.restore([first, *blocks])
    assert other.full_hash() == before
    assert machine.full_hash() != before


def crowded() -> Machine:
    """One lease with more keys than a piece takes, and sessions whose last results are 4 MiB each."""
    machine = Machine()
    lease = machine.leases.grant(5_000)
    for number in range(BLOCK_WEIGHT * 2 + 3):
        put = Put(key=f"leased/{number}", value=b"", lease=LeaseId(lease))
        machine.apply(c.encode(c.Envelope(c.Txn((), (put,)))))
    for number in range(16):
        put = Put(key=f"large/{number}", value=bytes(64 * 1024))
        machine.apply(c.encode(c.Envelope(c.Txn((), (put,)))))
    reads = c.Txn((), tuple(Get(key=f"large/{number % 16}") for number in range(62)))
    for session in range(1, 5):
        machine.apply(c.encode(c.Envelope(c.OpenSession())))
        machine.apply(c.encode(c.Envelope(reads, session, 1)))
        machine.apply(c.encode(c.Envelope(c.KeepAlive(lease), session, 2)))
    return machine


def test_a_state_of_which_leases_and_sessions_hold_most_is_still_small_pieces() -> None:
    """One block for all of them could grow beyond what is read back: written, the log cut, and no member would start
    again."""
    machine = crowded()
    blocks = list(machine.snapshot())
    assert max(len(msgspec.msgpack.encode(block)) for block in blocks) < 5 * 1024 * 1024
    other = Machine()
    other.restore(read_snapshot(snapshot_of(machine), cluster="c")[1])
    assert other.full_hash() == machine.full_hash()


def test_the_digest_sees_every_piece() -> None:
    """A key of the lease's last piece, and a result of the last session."""
    machine, other = crowded(), crowded()
    assert digest_of(machine) == digest_of(other)
    del other.sessions.by_id[4].results[2]
    assert digest_of(machine) != digest_of(other)
    other = crowded()
    other.leases.by_id[1].keys.remove(max(other.leases.by_id[1].keys))
    assert digest_of(machine) != digest_of(other)


def digest_of(machine: Machine) -> str:
    machine.apply(c.encode(c.Envelope(c.Check("n"))))
    while machine.digest_some():
        pass
    assert machine.digest is not None
    return machine.digest.state


@pytest.mark.parametrize("version", [1, 2])
def test_a_snapshot_of_a_release_that_is_known_is_read(version: int) -> None:
    assert read_snapshot(of_format(version), cluster="c")[0].format == version


def test_a_snapshot_of_a_later_release_is_refused() -> None:
    with pytest.raises(SnapshotDamaged, match="format 3; this release reads up to 2"):
        read_snapshot(of_format(3), cluster="c")


def of_format(version: int) -> bytes:
    disk = SimulatedDisk(random.Random(0))
    header = Header(format=version, cluster="c", index=7, term=3, members={})
    writer = SnapshotWriter(disk, header, machine_of(1).snapshot())
    while writer.step():
        pass
    return disk.read(OWN)


@settings(max_examples=100)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_seen(at: int, bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1 << bit
    with pytest.raises(SnapshotDamaged):
        read_snapshot(bytes(damaged), cluster="c")


@settings(max_examples=100)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_snapshot_that_is_cut_short_is_seen(end: int) -> None:
    with pytest.raises(SnapshotDamaged):
        read_snapshot(WHOLE[:end], cluster="c")


@pytest.mark.parametrize("at", [1, 2, -2])
def test_a_snapshot_that_lacks_a_whole_block_is_seen(at: int) -> None:
    """Every block that is left has a right checksum."""
    blocks, offset = [], len(MAGIC)
    while offset < len(WHOLE):
        end = offset + 8 + int.from_bytes(WHOLE[offset : offset + 4])
        blocks.append(WHOLE[offset:end])
        offset = end
    del blocks[at]
    with pytest.raises(SnapshotDamaged, match="its digest is another"):
        read_snapshot(MAGIC + b"".join(blocks), cluster="c")


@given(st.binary(max_size=400))
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(SnapshotDamaged):
        read_snapshot(raw, cluster="c")


def test_a_snapshot_of_another_cluster_is_refused() -> None:
    with pytest.raises(SnapshotDamaged, match="of cluster c, not of d"):
        read_snapshot(WHOLE, cluster="d")
