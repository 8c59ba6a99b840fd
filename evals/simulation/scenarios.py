"""Sequences of faults, each of the kind that a bad day brings, after which one protection is all that is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from evals.simulation.network import Weather
from evals.simulation.world import World
from runtime.consensus.raft.engine import RaftEngine

STEP_S: Final = 0.01  # between looks at the cluster
LOOK_S: Final = 0.2  # between requests for snapshots
LEAD_S: Final = 3.0  # an election, and another one where the votes were split
BEHIND_S: Final = 8.0  # some hundred entries
SETTLED_S: Final = 15.0  # two hung syncs


class Scenarios:
    """`start` starts a node again, unless something else happened to it meanwhile."""

    def __init__(self, world: World, start: Callable[[str], None]) -> None:
        self.world = world
        self._rng = world.rng
        self._start = start

    # -- leaders -------------------------------------------------------------------------------------------------------

    async def die_young(self) -> None:
        """Whoever begins to lead goes, before or just after its first entries got anywhere; what was on its way to or
        from it may arrive in a later term."""
        down: list[str] = []
        slow = self._rng.random() < 0.5
        if slow:
            self.world.network.weather = Weather(least=0.001, most=0.2, reorders=True)
        for _ in range(self._rng.randrange(2, 8)):
            await self._leader_but("")
            await asyncio.sleep(self._rng.expovariate(1 / (0.15 if slow else 0.03)))
            for name in self.world.leaders():
                self.world.crash(name, power=self._rng.random() < 0.5)
                down.append(name)
            if len(down) > self._rng.randrange(1, 3):
                self._start(down.pop(0))
        for name in down:
            self._start(name)

    async def to_and_fro(self) -> None:
        """Whoever begins to lead is cut off while its first entries are on their way, and who was cut off before it
        comes back: two logs grow apart and outdo each other in turn, over a third (figure 8 of the Raft paper)."""
        slow_s = self._rng.choice([0.1, 0.3])
        self.world.network.weather = Weather(least=0.001, most=slow_s)
        alone = ""
        for _ in range(self._rng.randrange(4, 12)):
            leader = await self._leader_but(alone)
            if not leader:
                break
            await self._hesitate(leader, slow_s)
            self.world.network.cut = {(leader, other) for other in self._others(leader)}
            alone = leader

    async def answers_late(self) -> None:
        """Some members' answers take so long that they reach the leader after it was replaced and leads again; and by
        then nobody hears it any more."""
        leader = next(iter(self.world.leaders()), "")
        others = self._others(leader)
        if not leader or len(others) < 2:
            return
        late, swift = others[: len(others) // 2], others[len(others) // 2 :]
        network = self.world.network
        with self.world.disturbing():
            network.late = {(name, leader): self._rng.uniform(0.3, 2.0) for name in late}
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))
            if await self._hand_over(leader, swift[0]) and await self._hand_over(swift[0], leader):
                network.cut |= {(leader, other) for other in others} | {(other, leader) for other in swift}
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
            network.late.clear()

    # -- disks ---------------------------------------------------------------------------------------------------------

    async def change_majority(self, *, killed_first: bool = False) -> None:
        """One who had the last entries unsynced, the leader or a follower, and those who never heard them, decide
        without the others who had them. With `killed_first` its process dies before the power does, and the next one
        finds those entries as the system still holds them."""
        leader = next(iter(self.world.leaders()), "")
        others = self._others(leader)
        if not leader or len(others) < 2:
            return
        deaf, heard = others[: len(others) // 2], {leader, *others[len(others) // 2 :]}
        name = self._rng.choice(sorted(heard))
        slow = self.world.nodes[name].slow
        slow.least, slow.most = self._rng.choice([(0.0002, 0.004), (0.2, 0.5)])
        self.world.network.partition(set(deaf), heard)
        await asyncio.sleep(self._rng.uniform(0.05, 0.6))
        if killed_first:
            self.world.crash(name, power=False)
            self._start(name)
            await asyncio.sleep(self._rng.uniform(0.0, 0.4))
        self.world.crash(name, power=True)
        slow.recover()
        self.world.network.cut.clear()
        self.world.network.partition(heard - {name}, {name, *deaf})
        self._start(name)
        await asyncio.sleep(self._rng.uniform(0.5, 3.0))

    async def snapshot_late(self) -> None:
        """A member's disk hangs amid its own snapshot, and it is cut off until no log reaches back to it: a newer one
        arrives while the old one is on its way to disk. Soon afterwards the member dies."""
        name = self._rng.choice(sorted(self.world.nodes))
        slow = self.world.nodes[name].slow
        with self.world.disturbing():
            slow.least, slow.most = 2.0, 6.0
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
            self._ask_for_snapshot(name)
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
            self.world.network.partition({name}, set(self._others(name)))
            await self._until_left_behind(name)
            slow.recover()
            self.world.network.cut.clear()
            await asyncio.sleep(self._rng.uniform(0.2, 2.0))
            await self._until_settled(name)
        self.world.crash(name, power=self._rng.random() < 0.5)
        await asyncio.sleep(self._rng.uniform(0.1, 1.0))
        self._start(name)

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def _leader_but(self, name: str) -> str:
        """Who leads the latest term, other than that one; empty when nobody does for long."""
        for _ in range(round(LEAD_S / STEP_S)):
            leaders = [other for other in self.world.leaders() if other != name]
            if leaders:
                return max(leaders, key=self._term)
            await asyncio.sleep(STEP_S)
        return ""

    async def _hesitate(self, leader: str, slow_s: float) -> None:
        """Not at all, or for a few messages, or for as long as a leader needs to know that something is committed."""
        match self._rng.randrange(3):
            case 0:
                await self._until_it_commits(leader)
            case 1:
                await asyncio.sleep(self._rng.uniform(0.0, 4 * slow_s))

    async def _until_it_commits(self, leader: str) -> None:
        """Until it knows more to be committed than when it was asked first, or that takes too long."""
        began = self._engine(leader)
        known = began.member.commit_index if began is not None else 0
        for _ in range(round(LEAD_S / STEP_S)):
            engine = self._engine(leader)
            if engine is None or not engine.member.is_leader or engine.member.commit_index > known:
                return
            await asyncio.sleep(STEP_S)

    async def _hand_over(self, leader: str, to: str) -> bool:
        """Whether the other one leads soon: it must have all of the log at the moment when it is asked."""
        for _ in range(round(LEAD_S / STEP_S)):
            if to in self.world.leaders():
                return True
            engine = self._engine(leader)
            if engine is not None:
                engine.hand_over(to)
            await asyncio.sleep(STEP_S)
        return False

    def _ask_for_snapshot(self, name: str) -> None:
        """As for a backup."""
        engine = self._engine(name)
        if engine is not None and not engine.member.is_between_snapshots:
            with contextlib.suppress(OSError):  # its disk is full
                engine.member.write_snapshot(now=True)

    async def _until_left_behind(self, name: str) -> None:
        """Until each of the others has let go of the log that this one would need, or that takes too long."""
        for _ in range(round(BEHIND_S / LOOK_S)):
            behind = self._engine(name)
            others = [other for other in map(self._engine, self._others(name)) if other is not None]
            if behind is None or all(other.log.base_index > behind.log.last_index for other in others):
                return
            await asyncio.sleep(LOOK_S)
            for other in self._others(name):
                self._ask_for_snapshot(other)

    async def _until_settled(self, name: str) -> None:
        for _ in range(round(SETTLED_S / STEP_S)):
            engine = self._engine(name)
            if engine is None or not engine.member.is_between_snapshots:
                return
            await asyncio.sleep(STEP_S)

    def _term(self, name: str) -> int:
        engine = self._engine(name)
        return engine.member.term if engine is not None else 0

    def _engine(self, name: str) -> RaftEngine | None:
        """None while that node is down or stopped."""
        node = self.world.nodes.get(name)
        return node.engine if node is not None and node.paused is None else None

    def _others(self, name: str) -> list[str]:
        """All nodes but that one, in an order chosen by seed."""
        others = sorted(set(self.world.nodes) - {name})
        self._rng.shuffle(others)
        return others
