"""Power is lost at each step that a member takes on its disk, one run a step: nothing that it acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from evals.simulation.disk import SimulatedDisk
from runtime.consensus import commands as c
from runtime.consensus.raft import installs
from runtime.consensus.raft import messages as m
from runtime.consensus.raft.engine import EngineParts, RaftEngine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.store import Put
from tests.unit.test_raft_log import Now

pytestmark = pytest.mark.anyio

COMMANDS = 24
SNAPSHOT_EVERY = 7
SNAPSHOT_KEPT = 2
SEGMENT_BYTES = 400
SOON = 400  # rounds: more than anything here takes


class PowerLost(Exception):
    """From then on the disk does nothing."""


class FailingDisk(SimulatedDisk):
    """Loses power just before its step number `last`; steps are what changes something."""

    def __init__(self, last: int) -> None:
        super().__init__(random.Random(last))
        self.last, self.steps = last, 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.last:
            raise PowerLost

    def append(self, name: str, data: bytes) -> None:
        self.step()
        super().append(name, data)

    def sync(self, name: str) -> None:
        self.step()
        super().sync(name)

    def truncate(self, name: str, size: int) -> None:
        self.step()
        super().truncate(name, size)

    def rename(self, name: str, to: str) -> None:
        self.step()
        super().rename(name, to)

    def remove(self, name: str) -> None:
        self.step()
        super().remove(name)

    def sync_names(self) -> None:
        self.step()
        super().sync_names()


class Group:
    """n1 leads alone; n2 is a learner, so that it can die and come back at any time. Time is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.engines: dict[str, RaftEngine] = {}
        self.on_the_way: list[tuple[str, str, bytes]] = []
        self.written: list[int] = []  # numbers of the commands acknowledged to whom proposed them
        self.acknowledged = 0  # the newest entry that n2 told the leader it has on disk

    def start(self, name: str, disk: SimulatedDisk) -> RaftEngine:
        engine = self.engines[name] = RaftEngine(
            EngineParts(
                node=name,
                cluster="c",
                directory=Path("/nowhere"),
                bootstrap={"n1": Peer("n1:1"), "n2": Peer("n2:1", votes=False, rises=False)},
                wire=Wire(self, name),
                note=lambda _event, _fields: None,
                clock=lambda: self.now_s,
                disk=disk,
                writer=Now(disk),
                segment_bytes=SEGMENT_BYTES,
                snapshot_every=SNAPSHOT_EVERY,
                snapshot_kept=SNAPSHOT_KEPT,
            )
        )
        return engine

    def sent(self, source: str, target: str, raw: bytes) -> bool:
        message = m.decode(raw)
        if source == "n2" and isinstance(message, m.Appended) and message.ok:
            self.acknowledged = max(self.acknowledged, message.index)
        self.on_the_way.append((source, target, raw))
        return True

    async def round(self) -> None:
        self.now_s += 0.2
        arriving, self.on_the_way = self.on_the_way, []
        for source, target, raw in arriving:
            if target in self.engines:
                self.engines[target].received(source, raw)
        for engine in self.engines.values():
            engine.tick()
        await asyncio.sleep(0)

    def write(self, number: int) -> None:
        raw = c.encode(c.Envelope(c.Txn((), (Put(key=f"k/{number:03}", value=b"x" * 40),))))
        self.engines["n1"].submit(raw, lambda outcome: self.told(number, outcome))

    def told(self, number: int, outcome: object) -> None:
        if isinstance(outcome, c.Applied):
            self.written.append(number)

    def leads(self) -> bool:
        """With everything that its log holds applied."""
        member = self.engines["n1"].member
        return member.is_leader and member.applied_index == member.log.last_index

    async def until(self, holds) -> None:  # type: ignore[no-untyped-def]
        for _ in range(SOON):
            if holds():
                return
            await self.round()
        raise AssertionError(f"not within {SOON} rounds")


class Wire:
    def __init__(self, group: Group, name: str) -> None:
        self.group, self.name = group, name

    def open(self, node: str, address: str) -> None: ...

    def close(self, node: str) -> None: ...

    def send(self, node: str, message: bytes) -> bool:
        return self.group.sent(self.name, node, message)


def failed(engine: RaftEngine) -> bool:
    """True when its power is lost; anything else that ended it is raised."""
    if not engine.failed.done():
        return False
    error = engine.failed.exception()
    assert isinstance(error, PowerLost), error
    return True


def numbers_in(engine: RaftEngine) -> list[int]:
    return [int(item.key.removeprefix("k/")) for item in engine.machine.keys.below("k/")]


async def writes(group: Group, disk: SimulatedDisk) -> bool:
    """True when it came to its end."""
    try:
        engine = group.start("n1", disk)
    except PowerLost:
        return False
    await group.until(lambda: engine.failed.done() or group.leads())
    for number in range(COMMANDS if not failed(engine) else 0):
        group.write(number)
        for _ in range(2):
            await group.round()
            if failed(engine):
                return False
    return not failed(engine)


async def test_a_leader_has_all_that_it_acknowledged_at_whatever_step_its_power_is_lost() -> None:
    steps = 0
    while True:
        disk, group = FailingDisk(steps), Group()
        ended = await writes(group, disk)
        acknowledged, disk.last = list(group.written), 10**9
        disk.crash()
        engine = group.start("n1", disk)
        await group.until(group.leads)
        found = numbers_in(engine)
        assert set(acknowledged) <= set(found), f"step {steps}"
        assert found == list(range(len(found))), f"step {steps}: a hole"
        group.write(999)
        await group.until(lambda: 999 in group.written)  # noqa: B023  called here and now
        if ended:
            break
        steps += 1
    assert steps > 80
    assert engine.member.snapshot is not None
    assert engine.member.log.base_index > 1


async def follows(group: Group, disk: SimulatedDisk) -> bool:
    """A snapshot is installed, then entries come, and snapshots of its own. True when it came to its end."""
    try:
        engine = group.start("n2", disk)
    except PowerLost:
        return False
    for each, other in (("n1", "n2"), ("n2", "n1")):
        group.engines[each].connected(other)
    for number in range(COMMANDS, 2 * COMMANDS):
        for _ in range(2):
            await group.round()
            if failed(engine):
                return False
        group.write(number)
    for _ in range(10):
        await group.round()
        if failed(engine):
            return False
    return True


async def test_a_follower_has_all_that_it_acknowledged_at_whatever_step_its_power_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installs, "PIECE_BYTES", 150)
    steps = 0
    while True:
        group, disk = Group(), FailingDisk(steps)
        assert await writes(group, SimulatedDisk(random.Random(0)))
        ended = await follows(group, disk)
        acknowledged, disk.last = group.acknowledged, 10**9
        for each, other in (("n1", "n2"), ("n2", "n1")):
            if each in group.engines:
                group.engines[each].disconnected(other)
        group.on_the_way.clear()
        disk.crash()
        leader, engine = group.engines["n1"], group.start("n2", disk)
        assert engine.member.log.last_index >= acknowledged, f"step {steps}"
        for index in range(engine.member.log.base_index, acknowledged + 1):
            theirs = leader.member.log.term_at(index)
            assert theirs in (None, engine.member.log.term_at(index)), f"step {steps}"
        for each, other in (("n1", "n2"), ("n2", "n1")):
            group.engines[each].connected(other)
        await group.until(lambda: engine.machine.full_hash() == leader.machine.full_hash())  # noqa: B023
        if ended:
            break
        steps += 1
    assert steps > 60
    assert acknowledged > COMMANDS
