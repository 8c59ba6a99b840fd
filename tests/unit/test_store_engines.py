"""What is of one engine alone; what all must do alike stands in `tests/consensus/test_store_conformance.py`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import Compacted, NoQuorum
from runtime.consensus.history import BATCHES_MAX
from runtime.consensus.memory import MemoryEngine, MemoryStore
from runtime.consensus.raft.engine import EngineParts, RaftEngine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.raft.replica import Timing
from runtime.consensus.store import Put, Revision

pytestmark = pytest.mark.anyio


ALONE = Timing(heartbeat=0.01, election_min=0.1, election_max=0.15)
"""A group of one waits for nobody's vote."""


class NoWire:
    """A group of one has nobody to write to."""

    def open(self, node: str, address: str) -> None: ...

    def close(self, node: str) -> None: ...

    def send(self, node: str, message: bytes) -> bool:
        return False


@contextlib.asynccontextmanager
async def raft_of_one(directory: Path) -> AsyncIterator[RaftEngine]:
    engine = RaftEngine(
        EngineParts(
            node="n1",
            cluster="c",
            directory=directory / "store",
            bootstrap={"n1": Peer("127.0.0.1:1")},
            wire=NoWire(),
            note=lambda _event, _fields: None,
            timing=ALONE,
        )
    )
    driving = asyncio.ensure_future(engine.run())
    try:
        async for leadership in EngineStore(engine).leadership():
            if leadership.leader == "n1":
                break
        yield engine
    finally:
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        engine.close()


async def test_a_watch_from_history_that_is_gone_says_so() -> None:
    store = MemoryStore()
    for number in range(BATCHES_MAX + 2):
        await store.txn([], [Put(key="a", value=str(number).encode())])
    with pytest.raises(Compacted):
        async for _ in store.watch("a", from_revision=Revision(1)):
            pass


async def test_without_quorum_changes_are_refused_and_stale_reads_go_on() -> None:
    store = MemoryStore()
    await store.txn([], [Put(key="a", value=b"1")])
    store.engine.quorum = False
    with pytest.raises(NoQuorum):
        await store.txn([], [Put(key="a", value=b"2")])
    with pytest.raises(NoQuorum):
        await store.get("a")
    found = await store.get("a", stale_ok=True)
    assert found.stale
    assert found.item is not None


async def test_a_member_that_starts_again_has_what_it_acknowledged(tmp_path: Path) -> None:
    async with raft_of_one(tmp_path) as engine:
        store = EngineStore(engine)
        for number in range(50):
            await store.txn([], [Put(key=f"k/{number}", value=b"x")])
        before = engine.machine.keys.get("k/49")
    async with raft_of_one(tmp_path) as engine:
        await EngineStore(engine).get("k/49")
        assert engine.machine.keys.get("k/49") == before
        assert len((await EngineStore(engine).range("k/")).items) == 50


def test_the_memory_engine_lets_time_pass_only_when_told() -> None:
    engine = MemoryEngine()
    revision = engine.machine.revision
    engine.advance(1_000)
    assert engine.machine.revision == revision
