"""The engine for tests: one member, in memory, time moved by hand. Same machine, same protocol."""

from __future__ import annotations

from collections.abc import Callable

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.engine import EngineStore
from runtime.consensus.machine import Machine
from runtime.consensus.signal import Signal
from runtime.consensus.store import LEADER_KEY, KeyValue, StoreStatus


class MemoryEngine:
    """Leads from the start. `quorum = False` makes it refuse what a raft member without quorum would."""

    def __init__(self, node: str = "n1") -> None:
        self.node = node
        self.quorum = True
        self.machine = Machine()
        self.changes = Signal()
        self.machine.changed = self.changes.fire
        self.machine.apply(c.encode(c.Envelope(c.Lead(node))))

    async def propose(self, command: bytes) -> c.Result:
        await self.confirm()
        return self.machine.apply(command)

    def submit(self, command: bytes, told: Callable[[c.Result | e.StoreFault], None]) -> None:
        told(self.machine.apply(command) if self.quorum else e.NoQuorum("no quorum"))

    async def confirm(self) -> None:
        if not self.quorum:
            raise e.NoQuorum("no quorum")

    def leader(self) -> str:
        return self.node if self.quorum else ""

    def advance(self, elapsed_ms: int) -> None:
        """Lets time pass."""
        self.machine.apply(c.encode(c.Envelope(c.Tick(elapsed_ms))))

    def lead(self, node: str) -> None:
        """Another node becomes leader."""
        self.node = node
        self.machine.apply(c.encode(c.Envelope(c.Lead(node))))

    async def status(self) -> StoreStatus:
        return StoreStatus(
            node=self.node,
            leader=self.leader(),
            term=1,
            revision=self.machine.revision,
            members=(self.node,),
            has_quorum=self.quorum,
        )


class MemoryStore(EngineStore):
    """A store of its own for each test."""

    def __init__(self, node: str = "n1") -> None:
        self.engine = MemoryEngine(node)
        super().__init__(self.engine)

    @property
    def items(self) -> dict[str, KeyValue]:
        """All that it holds, by key: for tests to look at."""
        return {item.key: item for item in self.engine.machine.keys.below("") if item.key != LEADER_KEY}
