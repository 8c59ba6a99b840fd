"""What goes wrong in a simulated cluster, one thing after the other and sometimes two at once, chosen by seed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final

from evals.simulation.network import Weather
from evals.simulation.scenarios import Scenarios
from evals.simulation.world import World
from runtime.consensus import errors as e
from runtime.consensus.raft.engine import RaftEngine
from runtime.consensus.raft.membership import Members, Peer

MOST_NODES: Final = 7
CHANGE_S: Final = 3.0


class Faults:
    """`counts` says how often each was made to happen. `only` names one of them, where no other is wanted."""

    def __init__(self, world: World, *, only: str = "") -> None:
        self.world = world
        self.counts: Counter[str] = Counter()
        self._rng = world.rng
        self._fresh = len(world.nodes)
        self._lost: set[str] = set()  # nodes whose disk is damaged: they never come back under this name
        scenarios = Scenarios(world, self._start_again)
        self._kinds: dict[str, Callable[[], Coroutine[object, object, None]]] = {
            "kill one": self._kill_one,
            "power loss of one": self._power_one,
            "kill the leader": self._kill_leader,
            "power loss of all": self._power_all,
            "leaders die young": scenarios.die_young,
            "majority changes at a power loss": scenarios.change_majority,
            "majority changes at a power loss after a kill": partial(scenarios.change_majority, killed_first=True),
            "partition": self._partition,
            "one-way partition": self._one_way,
            "leader cut off": self._leader_alone,
            "bad weather": self._weather,
            "slow disk": self._slow,
            "full disk": self._full,
            "pause": self._pause,
            "clock jump": self._jump,
            "damaged disk": self._damage,
            "member added": self._add_member,
            "member removed": self._remove_member,
            "leader cut off amid changes": self._change_alone,
            "leadership handed over": self._hand_over,
            "snapshot while one is away": self._away,
            "death during a snapshot": self._die_in_snapshot,
            "own snapshot late": scenarios.snapshot_late,
            "the lead goes to and fro": scenarios.to_and_fro,
            "answers late over elections": scenarios.answers_late,
        }
        if only:
            self._kinds = {only: self._kinds[only]}

    async def round(self) -> None:
        """One fault, with probability a third a second one on top of it; then peace for a moment."""
        kinds = [self._rng.choice(sorted(self._kinds))]
        if self._rng.random() < 0.33:
            kinds.append(self._rng.choice(sorted(self._kinds)))
        for kind in kinds:
            self.counts[kind] += 1
            self.world.say(f"-- {kind}")
        await asyncio.gather(*(self._kinds[kind]() for kind in kinds))
        if self.world.network.weather != Weather():
            self.world.disturb()
        self.world.network.heal()
        await self.restart_all()
        await asyncio.sleep(self._rng.uniform(0.3, 2.0))

    async def restart_all(self) -> None:
        for name, node in sorted(self.world.nodes.items()):
            if node.paused is not None:
                self.world.resume(name)
            self._start_again(name)

    async def replace_lost(self) -> None:
        """In peace those whose disks are damaged can be replaced at last."""
        for name in sorted(self._lost):
            await self._replace(name)

    def take_away_removed(self) -> None:
        """Those whose removal was given up, and took hold later, do not belong to the cluster any more."""
        known = self._members()
        for name in [name for name in self.world.nodes if known and name not in known]:
            self.world.crash(name, power=False)
            del self.world.nodes[name]

    # -- processes and power -------------------------------------------------------------------------------------------

    async def _kill_one(self) -> None:
        await self._down([self._any()], power=False)

    async def _power_one(self) -> None:
        await self._down([self._any()], power=True)

    async def _kill_leader(self) -> None:
        await self._down(self.world.leaders() or [self._any()], power=self._rng.random() < 0.5)

    async def _power_all(self) -> None:
        await self._down([name for name, _ in self.world.live()], power=True)

    async def _down(self, names: list[str], *, power: bool) -> None:
        for name in names:
            self.world.crash(name, power=power)
        await asyncio.sleep(self._rng.uniform(0.05, 3.0))
        for name in names:
            self._start_again(name)

    async def _pause(self) -> None:
        name = self._rng.choice(self.world.leaders() or [self._any()])
        node = self.world.nodes[name]
        if node.engine is None or node.paused is not None:
            return
        self.world.pause(name)
        await asyncio.sleep(self._rng.uniform(0.2, 4.0))
        if node.paused is not None:
            self.world.resume(name)

    async def _jump(self) -> None:
        """More than an election's time, so that whatever is timed is overdue at once."""
        for _ in range(self._rng.randrange(1, 4)):
            self.world.jump(self._any(), self._rng.choice([0.1, 1.0, 30.0]))
            await asyncio.sleep(self._rng.uniform(0.1, 1.0))

    # -- network -------------------------------------------------------------------------------------------------------

    async def _partition(self) -> None:
        names = sorted(self.world.nodes)
        if len(names) < 2:
            return
        self._rng.shuffle(names)
        at = self._rng.randrange(1, len(names))
        self.world.network.partition(set(names[:at]), set(names[at:]))
        await asyncio.sleep(self._rng.uniform(0.3, 5.0))

    async def _one_way(self) -> None:
        if len(self.world.nodes) < 2:
            return
        one, other = self._rng.sample(sorted(self.world.nodes), 2)
        self.world.network.cut.add((one, other))
        await asyncio.sleep(self._rng.uniform(0.3, 5.0))

    async def _leader_alone(self) -> None:
        for leader in self.world.leaders():
            self.world.network.partition({leader}, set(self.world.nodes) - {leader})
        await asyncio.sleep(self._rng.uniform(0.3, 4.0))

    async def _weather(self) -> None:
        """Delays up to the length of an election, messages lost, repeated and out of order."""
        self.world.network.weather = Weather(
            least=0.001,
            most=self._rng.choice([0.05, 0.3, 0.9]),
            lost=self._rng.choice([0.0, 0.05, 0.2]),
            repeated=self._rng.choice([0.0, 0.2]),
            reorders=self._rng.random() < 0.7,
        )
        await self._disturbing(self._rng.uniform(1.0, 6.0))

    # -- disks ---------------------------------------------------------------------------------------------------------

    async def _slow(self) -> None:
        slow = self.world.nodes[self._any()].slow
        slow.least, slow.most = 0.01, self._rng.choice([0.1, 0.5, 2.0])
        await self._disturbing(self._rng.uniform(1.0, 4.0))
        slow.recover()

    async def _full(self) -> None:
        disk = self.world.nodes[self._any()].disk
        disk.full = True
        await self._disturbing(self._rng.uniform(0.3, 2.0))
        disk.full = False

    async def _damage(self) -> None:
        """A member whose disk is damaged must refuse to start; another one replaces it under a new name. Only where a
        majority is left without it: a removal that was given up may have taken hold since."""
        self.take_away_removed()
        name = self._any()
        node = self.world.nodes[name]
        voters = {member for member, peer in self._members().items() if peer.votes}
        live = {member for member, _ in self.world.live()}
        if live < self.world.nodes.keys() or len(voters) < 3 or not voters <= live:
            return
        held = node.engine.log.durable_index if node.engine is not None else 0
        self.world.crash(name, power=False)
        if not node.disk.flip_bit(self._rng.choice([".wal", "snapshot"])):
            self._start(name)
            return
        self.world.damages += 1
        if self.world.start(name):  # what was damaged is not needed any more
            if node.engine is not None and node.engine.log.last_index < held:
                raise AssertionError(f"{name} starts from a damaged log, without entries that it had acknowledged")
            return
        self._lost.add(name)
        await self._replace(name)

    async def _replace(self, name: str) -> None:
        if await self._change("remove", name):
            self.world.nodes.pop(name, None)
            self._lost.discard(name)
            await self._add_member()

    # -- members -------------------------------------------------------------------------------------------------------

    async def _add_member(self) -> None:
        if len(self.world.nodes) >= MOST_NODES:
            return
        self._fresh += 1
        name = f"n{self._fresh}"
        known = self._members()
        if not known or not await self._change("add", name):
            return
        others = {other: Peer(peer.address) for other, peer in known.items()}
        self.world.add(name, {**others, name: Peer(f"{name}:1", votes=False)})
        self._start(name)
        await asyncio.sleep(self._rng.uniform(0.1, 2.0))

    async def _remove_member(self) -> None:
        live = [name for name, _ in self.world.live()]
        if len(live) < 4 or len(live) < len(self.world.nodes):
            return
        name = self._rng.choice(live)
        if await self._change("remove", name):
            self.world.crash(name, power=False)
            self.world.nodes.pop(name, None)

    async def _change_alone(self) -> None:
        """A leader that nobody hears is asked to remove everybody else, all at once."""
        for leader in self.world.leaders():
            engine = self.world.nodes[leader].engine
            others = sorted(set(self.world.nodes) - {leader})
            if engine is None:
                continue
            self.world.network.partition({leader}, set(others))
            await asyncio.gather(*(self._try_to_remove(engine, name) for name in others))
            await asyncio.sleep(self._rng.uniform(0.3, 2.0))
        self.world.network.cut.clear()
        await self._disturbing(2.0)
        self.take_away_removed()

    async def _try_to_remove(self, engine: RaftEngine, name: str) -> None:
        with contextlib.suppress(TimeoutError, e.StoreFault):
            async with asyncio.timeout(CHANGE_S):
                await engine.remove_member(name)

    async def _hand_over(self) -> None:
        for leader in self.world.leaders():
            engine = self.world.nodes[leader].engine
            if engine is not None:
                engine.hand_over()
        await self._disturbing(0.5)

    async def _away(self) -> None:
        """Long enough that the others let go of the log that it would need."""
        name = self._any()
        self.world.crash(name, power=self._rng.random() < 0.5)
        await asyncio.sleep(self._rng.uniform(4.0, 9.0))
        self._start_again(name)

    async def _die_in_snapshot(self) -> None:
        """Power goes while a member writes a snapshot, publishes it or receives one."""
        for _ in range(400):
            for name, node in self.world.live():
                if node.engine is not None and node.engine.member.is_between_snapshots:
                    await self._down([name], power=True)
                    return
            await asyncio.sleep(0.005)

    async def _disturbing(self, seconds: float) -> None:
        with self.world.disturbing():
            await asyncio.sleep(seconds)

    async def _change(self, kind: str, name: str) -> bool:
        """Through whoever leads, for a while. An unknown outcome is asked again: changes may be repeated."""
        with self.world.disturbing():
            return await self._changed(kind, name)

    async def _changed(self, kind: str, name: str) -> bool:
        for _ in range(40):
            for leader in self.world.leaders():
                engine = self.world.nodes[leader].engine
                if engine is None:
                    continue
                try:
                    async with asyncio.timeout(CHANGE_S):  # the member that was asked may be gone
                        if kind == "add":
                            await engine.add_member(name, f"{name}:1")
                        else:
                            await engine.remove_member(name)
                except (TimeoutError, e.StoreFault) as error:
                    self.world.say(f"{kind} {name} at {leader}: {error!r}")
                else:
                    return True
            await asyncio.sleep(0.25)
        return False

    def _members(self) -> Members:
        for leader in self.world.leaders():
            engine = self.world.nodes[leader].engine
            if engine is not None:
                return engine.member.members
        return {}

    def _any(self) -> str:
        return self._rng.choice(sorted(self.world.nodes))

    def _start_again(self, name: str) -> None:
        """Unless something else happened to it meanwhile."""
        node = self.world.nodes.get(name)
        if node is not None and node.engine is None and name not in self._lost:
            self._start(name)

    def _start(self, name: str) -> None:
        if not self.world.start(name):
            raise AssertionError(f"{name} refuses to start, although its disk was not damaged")
