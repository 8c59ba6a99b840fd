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
from runtime.consensus.limits import COMMAND_BYTES_MAX, COMPARES_MAX, check_txn
from runtime.consensus.memory import MemoryStore
from runtime.consensus.raft import engine as engine_module
from runtime.consensus.raft import messages as m
from runtime.consensus.raft.engine import RaftEngine
from runtime.consensus.raft.records import BODY_BYTES_MAX
from runtime.consensus.server import StoreServer
from runtime.consensus.store import (
    LEADER_KEY,
    TXN_BYTES_MAX,
    TXN_OPERATIONS_MAX,
    Compare,
    Delete,
    LeaseId,
    Put,
    Revision,
)
from runtime.invocation.errors import RemoteFault
from runtime.invocation.frames import FRAME_BYTES_MAX, HEAD_BYTES
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


def largest_command() -> bytes:
    """As many operations, comparisons and bytes as a transaction may have, and numbers of the longest kind."""
    count, number = TXN_OPERATIONS_MAX, 2**60
    value = bytes(TXN_BYTES_MAX // count - 8)
    compare = tuple(
        Compare(key=f"{at:04}", field="create_revision", op="!=", operand=number) for at in range(COMPARES_MAX)
    )
    puts = tuple(Put(key=f"{at:04}", value=value, lease=LeaseId(number)) for at in range(count))
    txn = c.Txn(compare, puts)
    check_txn(txn)
    return c.encode(c.Envelope(txn, number, number, number))


async def test_the_largest_command_fits_every_buffer_on_its_way(tmp_path: Path) -> None:
    """A record of the log, a message to the other members, and what pysyncobj would pickle if it were larger."""
    largest = largest_command()
    assert TXN_BYTES_MAX < len(largest) <= COMMAND_BYTES_MAX
    entry = (b"\0" + bytes(COMMAND_BYTES_MAX), 2**60, 2**60)
    message = m.encode(m.Append(2**60, 2**60, 2**60, [entry], 2**60))
    assert len(message) + len(w.RAFT) + HEAD_BYTES < FRAME_BYTES_MAX
    assert len(entry[0]) < BODY_BYTES_MAX
    async with raft_of_one(tmp_path) as engine:
        assert len(entry[0]) < engine.member._SyncObj__conf.appendEntriesBatchSizeBytes
        await engine.propose(largest)


async def test_a_command_that_is_too_large_is_refused_before_it_is_logged(tmp_path: Path) -> None:
    """Once logged it would come to no other member, and this one could not read its log again."""
    path = tmp_path / "s"
    puts = tuple(Put(key=f"{at:04}", value=bytes(64 * 1024)) for at in range(150))
    async with raft_of_one(tmp_path) as engine, served(engine, path):
        connection = await connect_unix(path)
        before = engine.log.last_index
        with pytest.raises(RemoteFault, match=r"a command of 98\d+ bytes; the limit is 1310720") as refused:
            await connection.call(w.COMMAND, c.encode(c.Envelope(c.Txn((), puts))))
        assert refused.value.code == "too_large"
        assert "keys or transactions" in refused.value.remedy
        assert engine.log.last_index == before
        await connection.close()


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
