"""A raft group of real engines on a simulated network and clock, by seed: the same seed gives the same run."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from pathlib import Path

from runtime.consensus import commands as c
from runtime.consensus.raft.core import syncobj
from runtime.consensus.raft.engine import RaftEngine
from runtime.consensus.raft.member import Timing
from runtime.consensus.store import Put, Revision

STEP_S = 0.01
DELAY_S = (0.001, 0.08)


class Network:
    """Messages with random delay, in order per link; links can be cut in one or both directions."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_s = 1_000.0
        self.queue: list[tuple[float, int, str, str, bytes]] = []
        self.order = itertools.count()
        self.cut: set[tuple[str, str]] = set()
        self.last_s: dict[tuple[str, str], float] = {}
        self.engines: dict[str, RaftEngine] = {}

    def send(self, source: str, target: str, message: bytes) -> bool:
        if (source, target) in self.cut or target not in self.engines:
            return False
        arrives_s = max(self.last_s.get((source, target), 0.0), self.now_s + self.rng.uniform(*DELAY_S))
        self.last_s[source, target] = arrives_s
        heapq.heappush(self.queue, (arrives_s, next(self.order), source, target, message))
        return True

    def deliver(self) -> None:
        while self.queue and self.queue[0][0] <= self.now_s:
            _, _, source, target, message = heapq.heappop(self.queue)
            if (source, target) not in self.cut and target in self.engines:
                self.engines[target].received(source, message)


class SimulatedWire:
    def __init__(self, network: Network, node: str) -> None:
        self.network, self.node = network, node

    def open(self, node: str, address: str) -> None: ...

    def close(self, node: str) -> None: ...

    def send(self, node: str, message: bytes) -> bool:
        return self.network.send(self.node, node, message)


class Group:
    """Nodes by name; `acknowledged` is what clients were promised."""

    def __init__(self, seed: int, size: int, directory: Path) -> None:
        self.rng = random.Random(seed)
        self.network = Network(self.rng)
        self.directory = directory
        self.names = [f"n{at + 1}" for at in range(size)]
        self.acknowledged: dict[str, bytes] = {}
        self.leaders: dict[int, set[str]] = {}
        self.hashes: dict[int, str] = {}
        self.writes = itertools.count()
        self.waiting: list[asyncio.Future[None]] = []
        syncobj.monotonicTime = lambda: self.network.now_s  # type: ignore[attr-defined]
        syncobj.random = self.rng  # type: ignore[attr-defined]

    @property
    def engines(self) -> dict[str, RaftEngine]:
        return self.network.engines

    def start(self, name: str) -> None:
        self.engines[name] = RaftEngine(
            node=name,
            directory=self.directory / name,
            members={other: f"{other}:1" for other in self.names},
            wire=SimulatedWire(self.network, name),
            timing=Timing(),
            first=True,
            note=lambda _event, _fields: None,
            clock=lambda: self.network.now_s,
        )

    def crash(self, name: str) -> None:
        """kill -9: what was not synced is gone, messages on the way to it too."""
        engine = self.engines.pop(name)
        engine.member._journal._unsynced.clear()

    def partition(self, one: list[str], other: list[str]) -> None:
        self.network.cut = {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}

    def heal(self) -> None:
        self.network.cut = set()

    def write(self, name: str) -> None:
        """A client's change at one node; it counts once it is acknowledged."""
        engine = self.engines.get(name)
        if engine is None or not engine.member.is_leader:
            return
        number = next(self.writes)
        key, value = f"k/{number}", str(number).encode()
        command = c.encode(c.Envelope(c.Txn((), (Put(key=key, value=value),))))

        def done(result: c.Result | None, reason: int) -> None:
            if reason == 0 and isinstance(result, c.Applied):
                self.acknowledged[key] = value

        engine.member.propose(command, done)

    async def run(self, seconds: float) -> None:
        end_s = self.network.now_s + seconds
        while self.network.now_s < end_s:
            self.network.now_s += STEP_S
            self.network.deliver()
            for name, engine in tuple(self.engines.items()):
                self._connect(name, engine)
                engine._tick()
                if engine.failed.done():
                    engine.failed.result()
            self.check()
            await asyncio.sleep(0)

    def _connect(self, name: str, engine: RaftEngine) -> None:
        for other in self.names:
            if other == name:
                continue
            reachable = other in self.engines and (name, other) not in self.network.cut
            (engine.transport.connected if reachable else engine.transport.disconnected)(other)

    def check(self) -> None:
        """Never two leaders in one term; members at the same revision have the same state."""
        for name, engine in self.engines.items():
            if engine.member.is_leader:
                self.leaders.setdefault(engine.member.term, set()).add(name)
                assert len(self.leaders[engine.member.term]) == 1, f"two leaders in term {engine.member.term}"

    def check_states(self) -> None:
        by_revision: dict[Revision, set[str]] = {}
        for engine in self.engines.values():
            by_revision.setdefault(engine.machine.revision, set()).add(engine.machine.state_hash())
        assert all(len(hashes) == 1 for hashes in by_revision.values()), "members diverged"

    def check_acknowledged(self) -> None:
        """Whoever leads now has all that was ever acknowledged."""
        leader = next(engine for engine in self.engines.values() if engine.member.is_leader)
        lost = [key for key in self.acknowledged if leader.machine.keys.get(key) is None]
        assert not lost, f"acknowledged and lost: {lost[:5]}"
