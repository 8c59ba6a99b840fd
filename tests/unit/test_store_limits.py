"""Limits of a store process that no command knows of, and what watchers are told when nothing happens to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.consensus import commands as c
from runtime.consensus import server as server_module
from runtime.consensus import wire as w
from runtime.consensus.client import StoreClient
from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import InvalidRequest, Overloaded, TooManyWatchers
from runtime.consensus.leases import LEASES_MAX, Leases
from runtime.consensus.memory import MemoryStore
from runtime.consensus.raft import engine as engine_module
from runtime.consensus.raft.engine import RaftEngine
from runtime.consensus.server import StoreServer
from runtime.consensus.store import LEADER_KEY, Delete, Put, Revision
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix
from runtime.state.quotas import TOTAL_BYTES_MAX
from tests.unit.test_store_engines import raft_of_one

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def served(engine: RaftEngine, path: Path) -> AsyncIterator[StoreServer]:
    handlers = Handlers()
    server = StoreServer(engine, peer=lambda _node: None)
    server.offer(handlers)
    listener = await serve_unix(path, handlers)
    try:
        yield server
    finally:
        await listener.close()


async def test_one_watch_too_many_is_refused_and_a_closed_one_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with raft_of_one(tmp_path) as engine, served(engine, path) as server:
        connection = await connect_unix(path)
        request = w.encode(w.WatchRequest(("k",), Revision(1)))
        streams = [connection.stream(w.WATCH, request) for _ in range(server_module.WATCHERS_MAX)]
        for stream in streams:
            await anext(stream)
        assert server.watchers == server_module.WATCHERS_MAX
        client = StoreClient(lambda: connect_unix(path))
        with pytest.raises(TooManyWatchers, match="1000 watches are open on n1") as refused:
            await anext(client.watch("k", from_revision=Revision(1)))
        assert "Watch several prefixes" in str(refused.value.problem()["remedy"])
        await streams.pop().aclose()
        watch = client.watch("k", from_revision=Revision(1))
        await anext(watch)
        await watch.aclose()
        await client.close()
        await connection.close()


async def test_one_change_too_many_in_waiting_is_refused_and_none_is_lost(tmp_path: Path) -> None:
    async with raft_of_one(tmp_path) as engine:
        limit = engine_module.PENDING_MAX
        command = c.encode(c.Envelope(c.Txn((), (Put(key="k", value=b""),))))
        results = await asyncio.gather(*(engine.propose(command) for _ in range(limit + 3)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, Overloaded)]
        assert len(refused) == 3
        assert refused[0].retryable
        item = engine.machine.keys.get("k")
        assert item is not None
        assert item.version == limit


def test_one_lease_too_many_is_refused() -> None:
    leases = Leases(dict.fromkeys(range(1, LEASES_MAX + 1)), LEASES_MAX + 1)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="100000 leases already"):
        leases.grant(1_000)


async def test_a_watch_of_what_does_not_change_is_told_how_far_it_has_come(tmp_path: Path) -> None:
    """Without that, a cache could not tell an old state from one in which nothing happened."""
    async with raft_of_one(tmp_path) as engine:
        store = EngineStore(engine)
        watch = store.watch("quiet/", from_revision=Revision(1))
        first = await anext(watch)
        done = await store.txn([], [Put(key="loud", value=b"")])
        notice = await anext(watch)
        assert (notice.revision, notice.events) == (done.revision, ())
        assert notice.revision > first.revision
        await watch.aclose()


@pytest.mark.parametrize(
    "operation", [Put(key=LEADER_KEY, value=b"me"), Delete(key=LEADER_KEY), Delete(key="", prefix=True)]
)
async def test_no_client_touches_the_key_that_fences_leaders(operation: Put | Delete) -> None:
    """Whoever could would depose a leader, or let an old one write."""
    store = MemoryStore()
    before = (await store.get(LEADER_KEY)).item
    with pytest.raises(InvalidRequest, match=LEADER_KEY):
        await store.txn([], [operation])
    assert (await store.get(LEADER_KEY)).item == before


async def test_a_full_store_still_takes_a_new_leader() -> None:
    """Its fence is what lets it make room."""
    store = MemoryStore()
    store.engine.machine.keys.bytes_total = TOTAL_BYTES_MAX
    store.engine.lead("a-leader-with-a-longer-name")
    item = (await store.get(LEADER_KEY)).item
    assert item is not None
    assert item.value == b"a-leader-with-a-longer-name"
