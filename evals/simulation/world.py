"""One simulated cluster: engines that live, die and come back on their disks, and the network between them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evals.simulation.disk import SimulatedDisk, SimulatedWriter, Slowness
from evals.simulation.network import Network, Weather
from evals.simulation.tasks import start
from runtime.consensus.engine import EngineStore
from runtime.consensus.raft.core import syncobj
from runtime.consensus.raft.engine import EngineParts, RaftEngine
from runtime.consensus.raft.membership import Members, Peer
from runtime.consensus.raft.records import LogDamaged
from runtime.consensus.raft.snapshot import SnapshotDamaged

SEGMENT_BYTES: Final = 16 * 1024
SNAPSHOT_EVERY: Final = 150
SNAPSHOT_KEPT: Final = 40
CALM_S: Final = 3.0  # two elections
LINK_DOWN_S: Final = 0.03  # from a cut or a death to the end of the connection


@dataclass(slots=True)
class SimulatedNode:
    """`engine` is None while the node is down; the disk outlives it."""

    name: str
    disk: SimulatedDisk
    bootstrap: Members
    rate: float  # of its clock
    jumped_s: float = 0.0  # its clock is ahead by that much since its machine slept
    slow: Slowness = field(default_factory=Slowness)
    engine: RaftEngine | None = None
    writer: SimulatedWriter | None = None
    running: asyncio.Task[None] | None = None
    boots: int = 0
    paused: list[tuple[str, bytes]] | None = None


class World:
    """All randomness comes from one seeded generator, all time from the loop."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311  repeatable, nothing secret
        self.loop = asyncio.get_running_loop()
        self.network = Network(self.rng, self._deliver)
        self.nodes: dict[str, SimulatedNode] = {}
        self.trace: list[str] = []
        self.entries_max = self.rng.choice([1, 2, 2_048])  # few: everything takes several messages
        self.jumps = 0
        self.restarts = self.crashes = self.damages = 0
        self.disturbances = 0  # things other than cuts that go on now
        self.disturbed_s = self.loop.time()  # when the last of them ended
        self.on_tick: Callable[[SimulatedNode], None] = lambda _node: None
        self._linked: set[tuple[str, str]] = set()
        syncobj.monotonicTime = self.loop.time  # type: ignore[attr-defined]
        syncobj.random = self.rng  # type: ignore[attr-defined]
        names = [f"n{at + 1}" for at in range(size)]
        bootstrap = {name: Peer(f"{name}:1") for name in names}
        for name in names:
            self.add(name, bootstrap)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def clock(self, node: SimulatedNode) -> float:
        """What the node takes for the time. It never goes back: monotonic clocks do not."""
        return self.loop.time() * node.rate + node.jumped_s

    def disturb(self) -> None:
        """Something happened that may cost a leader its lead without anybody being wrong; cuts alone must not."""
        self.disturbed_s = self.loop.time()

    @contextlib.contextmanager
    def disturbing(self) -> Iterator[None]:
        """While something goes on that may cost a leader its lead."""
        self.disturbances += 1
        try:
            yield
        finally:
            self.disturbances -= 1
            self.disturb()

    @property
    def is_calm(self) -> bool:
        """Nothing but cuts of the network happened for as long as anybody could still feel it."""
        return (
            self.network.weather == Weather() and not self.disturbances and self.loop.time() - self.disturbed_s > CALM_S
        )

    def jump(self, name: str, seconds: float) -> None:
        """The node's clock goes on by that much at once, as after its machine slept."""
        self.disturb()
        self.jumps += 1
        self.nodes[name].jumped_s += seconds
        self.say(f"{name}'s clock jumps by {seconds:.3f} s")

    def add(self, name: str, bootstrap: Members) -> SimulatedNode:
        rate = 1.0 + self.rng.uniform(-1e-4, 1e-4)
        node = self.nodes[name] = SimulatedNode(name, SimulatedDisk(self.rng), bootstrap, rate)
        return node

    def start(self, name: str) -> bool:
        """False when the member refuses to start from what its disk holds."""
        node = self.nodes[name]
        self.disturb()
        assert node.engine is None
        node.writer = SimulatedWriter(node.disk, self.rng, slow=node.slow)
        node.boots += 1
        try:
            node.engine = RaftEngine(
                EngineParts(
                    node=name,
                    cluster="simulated",
                    directory=Path("/nowhere"),
                    bootstrap=node.bootstrap,
                    wire=_Wire(self, name),
                    note=lambda event, fields: self.say(f"{name} {event} {fields}"),
                    clock=lambda: self.clock(node),
                    disk=node.disk,
                    writer=node.writer,
                    segment_bytes=SEGMENT_BYTES,
                    entries_max=self.entries_max,
                    snapshot_every=SNAPSHOT_EVERY,
                    snapshot_kept=SNAPSHOT_KEPT,
                )
            )
        except (LogDamaged, SnapshotDamaged) as damage:
            self.say(f"{name} refuses to start: {damage}")
            node.writer.crash()
            return False
        node.running = start(self._drive(node, node.engine))
        self.say(f"{name} starts")
        return True

    def crash(self, name: str, *, power: bool) -> None:
        """kill -9, or with `power` a power loss: what was not synced may be gone."""
        node = self.nodes.get(name)
        if node is None or node.engine is None:
            return
        self.crashes += 1
        self.disturb()
        self.say(f"{name} {'loses power' if power else 'is killed'}")
        engine, node.engine, node.paused = node.engine, None, None
        assert node.writer is not None
        assert node.running is not None
        node.writer.crash()
        node.running.cancel()
        if not engine.failed.done():
            engine.failed.set_result(None)  # whatever of it still runs does nothing any more
        if power:
            node.disk.crash()
        else:
            node.disk.full = False
        self._linked = {link for link in self._linked if name not in link}
        self._tell_lost(name)

    def leaders(self) -> list[str]:
        return [name for name, node in self.live() if node.engine is not None and node.engine.member.is_leader]

    def live(self) -> list[tuple[str, SimulatedNode]]:
        return [(name, node) for name, node in sorted(self.nodes.items()) if node.engine is not None]

    def store(self, name: str) -> EngineStore | None:
        node = self.nodes.get(name)
        if node is None or node.engine is None or node.paused is not None:
            return None
        return EngineStore(node.engine)

    def pause(self, name: str) -> None:
        """As SIGSTOP: messages wait, nothing ticks."""
        self.disturb()
        self.nodes[name].paused = []
        self.say(f"{name} is paused")

    def resume(self, name: str) -> None:
        self.disturb()
        node = self.nodes.get(name)
        if node is None:
            return
        waiting, node.paused = node.paused, None
        self.say(f"{name} goes on")
        for source, message in waiting or ():
            self._deliver(source, name, message)

    def say(self, line: str) -> None:
        self.trace.append(f"{self.loop.time() - 1_000.0:10.4f}  {line}")

    # -- links ---------------------------------------------------------------------------------------------------------

    def send(self, source: str, target: str, message: bytes) -> bool:
        if (source, target) not in self._linked:
            return False
        self.network.send(source, target, message)
        return True

    async def keep_links(self) -> None:
        """Connections come and go as the network and the nodes do."""
        while True:
            for name, node in self.live():
                for other in sorted(self.nodes):
                    if other != name:
                        self._keep_link(name, node, other)
            await asyncio.sleep(LINK_DOWN_S)

    def _keep_link(self, name: str, node: SimulatedNode, other: str) -> None:
        up = self.nodes[other].engine is not None and not self.network.is_cut(name, other)
        if node.engine is None or node.paused is not None:
            return
        if up:
            self._linked.add((name, other))
            node.engine.connected(other)
        elif (name, other) in self._linked:
            self._linked.discard((name, other))
            node.engine.disconnected(other)

    def _tell_lost(self, name: str) -> None:
        """A process that dies is missed at once by those who are connected to it, unless the network is in between."""
        for other, node in self.live():
            if node.engine is not None and node.paused is None and not self.network.is_cut(name, other):
                self._linked.discard((other, name))
                node.engine.disconnected(name)

    def _deliver(self, source: str, target: str, message: bytes) -> None:
        node = self.nodes.get(target)
        if node is None or node.engine is None:
            return
        if node.paused is not None:
            node.paused.append((source, message))
            return
        node.engine.received(source, message)
        self._after(node)

    async def _drive(self, node: SimulatedNode, engine: RaftEngine) -> None:
        while node.engine is engine:
            if node.paused is None:
                engine.tick()
                self._after(node)
            await asyncio.sleep(0.02)

    def _after(self, node: SimulatedNode) -> None:
        engine = node.engine
        if engine is None:
            return
        if engine.failed.done():
            error = engine.failed.exception()
            if isinstance(error, OSError):
                self.say(f"{node.name} stops: {error}")
                self.crash(node.name, power=False)
                return
            if error is not None:
                raise error
        self.on_tick(node)


class _Wire:
    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def open(self, node: str, address: str) -> None: ...

    def close(self, node: str) -> None: ...

    def send(self, node: str, message: bytes) -> bool:
        return self._world.send(self._name, node, message)
