"""Snapshots: what was written is read; anything else is refused before it replaces a state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.simulation.disk import SimulatedDisk
from runtime.consensus import commands as c
from runtime.consensus.machine import BLOCK_ITEMS, Machine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.raft.snapshot import OWN, Header, SnapshotDamaged, SnapshotWriter, read_snapshot
from runtime.consensus.store import Put


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


@given(st.binary(max_size=400))
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(SnapshotDamaged):
        read_snapshot(raw, cluster="c")


def test_a_snapshot_of_another_cluster_is_refused() -> None:
    with pytest.raises(SnapshotDamaged, match="of cluster c, not of d"):
        read_snapshot(WHOLE, cluster="d")
