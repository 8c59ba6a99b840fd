"""A command whose applying raises: an error for whom proposed it, and nothing else for anybody."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from evals.simulation.disk import SimulatedDisk
from runtime.consensus import commands as c
from runtime.consensus.machine import Machine
from runtime.consensus.store import KeyValue, Operation, Put
from tests.unit.test_raft_crashes import Group, numbers_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the state machine: it writes one half of a transaction and raises."""
    write = Machine._write

    def raises(self: Machine, operations: Sequence[Operation]) -> tuple[KeyValue | None, ...]:
        if isinstance(operations[-1], Put) and operations[-1].value == b"poison":
            write(self, operations[:-1])
            raise RuntimeError("a bug")
        return write(self, operations)

    monkeypatch.setattr(Machine, "_write", raises)


@pytest.mark.usefixtures("poisoned")
async def test_it_is_an_error_result_and_all_members_go_on_and_stay_equal() -> None:
    """Raised, it would be tried again for ever by every member, also after a restart."""
    group, disk = Group(), SimulatedDisk(random.Random(1))
    leader, follower = group.start("n1", disk), group.start("n2", SimulatedDisk(random.Random(2)))
    leader.connected("n2")
    follower.connected("n1")
    await group.until(group.leads)
    told: list[object] = []
    poison = c.Txn((), (Put(key="k/000", value=b""), Put(key="p", value=b"poison")))
    for _ in range(2):
        leader.submit(c.encode(c.Envelope(poison)), told.append)
    group.write(1)
    await group.until(lambda: group.written == [1])
    assert [each.code for each in told if isinstance(each, c.Failed)] == ["internal", "internal"]
    await group.until(lambda: follower.machine.full_hash() == leader.machine.full_hash())
    assert numbers_in(follower) == [0, 1]
    again = group.start("n1", disk)
    await group.until(group.leads)
    group.write(2)
    await group.until(lambda: group.written == [1, 2])
    assert numbers_in(again) == [0, 1, 2]
    assert not leader.failed.done()
