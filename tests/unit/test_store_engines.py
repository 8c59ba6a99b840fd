"""One conformance suite over the Store protocol, for every engine that needs no cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.consensus.cache import StoreCache
from runtime.consensus.client import StoreClient
from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import Compacted, LeaseNotFound, NoQuorum, QuotaExceeded, TooLarge
from runtime.consensus.history import BATCHES_MAX
from runtime.consensus.memory import MemoryEngine, MemoryStore
from runtime.consensus.raft.engine import EngineParts, RaftEngine
from runtime.consensus.raft.membership import Peer
from runtime.consensus.raft.replica import Timing
from runtime.consensus.server import StoreServer
from runtime.consensus.store import Delete, Get, Put, Revision, Store, absent, led_by, present, unchanged
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix

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


@pytest.fixture(params=["memory", "raft", "client"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "raft":
        async with raft_of_one(tmp_path) as engine:
            yield EngineStore(engine)
    else:
        async with raft_of_one(tmp_path) as engine:
            handlers = Handlers()
            StoreServer(engine, peer=lambda _node: None).offer(handlers)
            listener = await serve_unix(tmp_path / "s.sock", handlers)
            client = StoreClient(lambda: connect_unix(tmp_path / "s.sock"))
            yield client
            await client.close()
            await listener.close()


async def test_what_was_written_is_read(store: Store) -> None:
    written = await store.txn([absent("a")], [Put(key="a", value=b"1")])
    assert written.succeeded
    read = await store.get("a")
    assert read.item is not None
    assert (read.item.value, read.item.mod_revision, read.item.version) == (b"1", written.revision, 1)
    assert not read.stale
    assert (await store.get("a", stale_ok=True)).stale
    assert (await store.get("nothing")).item is None


async def test_a_transaction_takes_the_branch_its_comparisons_choose(store: Store) -> None:
    await store.txn([], [Put(key="a", value=b"1")])
    result = await store.txn([absent("a")], [Put(key="a", value=b"2")], [Get(key="a"), Get(key="b")])
    assert not result.succeeded
    assert result.gets[0] is not None
    assert result.gets[0].value == b"1"
    assert result.gets[1] is None
    revision = result.gets[0].mod_revision
    assert (await store.txn([unchanged("a", revision), present("a")], [Put(key="a", value=b"3")])).succeeded
    assert not (await store.txn([unchanged("a", revision)], [Delete(key="a")])).succeeded


async def test_a_range_comes_in_pages_in_order(store: Store) -> None:
    await store.txn([], [Put(key=f"r/{number:02}", value=b"x") for number in range(25)])
    await store.txn([], [Put(key="s", value=b"x")])
    found, after = [], ""
    while True:
        page = await store.range("r/", after=after, limit=10)
        found += [item.key for item in page.items]
        if not page.more:
            break
        after = page.items[-1].key
    assert found == [f"r/{number:02}" for number in range(25)]


async def test_prefix_deletion_spares_the_neighbours(store: Store) -> None:
    await store.txn([], [Put(key=key, value=b"x") for key in ("p/1", "p/2", "q/1")])
    await store.txn([], [Delete(key="p/", prefix=True)])
    assert [item.key for item in (await store.range("")).items if not item.key.startswith("_")] == ["q/1"]


async def test_a_watch_has_no_gap_between_past_and_present(store: Store) -> None:
    first = await store.txn([], [Put(key="w/1", value=b"1")])
    seen: list[str] = []

    async def follow() -> None:
        async for batch in store.watch(("w/", "x/"), from_revision=first.revision):
            seen.extend(f"{event.kind} {event.item.key}" for event in batch.events)
            if len(seen) >= 4:
                return

    following = asyncio.ensure_future(follow())
    await store.txn([], [Put(key="w/2", value=b"1"), Put(key="other", value=b"1")])
    await store.txn([], [Delete(key="w/1")])
    await store.txn([], [Put(key="x/1", value=b"1")])
    await asyncio.wait_for(following, 5)
    assert seen == ["put w/1", "put w/2", "delete w/1", "put x/1"]


async def test_leases_are_granted_kept_and_revoked(store: Store) -> None:
    lease = await store.grant(60_000)
    await store.txn([], [Put(key="l", value=b"x", lease=lease)])
    await store.keep_alive(lease)
    await store.revoke(lease)
    await store.revoke(lease)
    assert (await store.get("l")).item is None
    with pytest.raises(LeaseNotFound):
        await store.keep_alive(lease)
    with pytest.raises(LeaseNotFound):
        await store.txn([], [Put(key="l", value=b"x", lease=lease)])


async def test_leadership_gives_a_fence_that_transactions_can_compare(store: Store) -> None:
    async for leadership in store.leadership():
        if leadership.leader:
            break
    assert leadership.leader == "n1"
    assert (await store.txn([led_by(leadership.fence)], [Put(key="a", value=b"1")])).succeeded
    assert not (await store.txn([led_by(Revision(leadership.fence + 1))], [Put(key="a", value=b"2")])).succeeded


async def test_limits_are_told_with_their_own_error(store: Store) -> None:
    with pytest.raises(TooLarge):
        await store.txn([], [Put(key="a", value=bytes(70_000))])
    with pytest.raises(QuotaExceeded):
        for number in range(300):
            await store.txn([], [Put(key=f"database/s/{number}-{at}", value=bytes(60_000)) for at in range(8)])


async def test_status_names_the_leader_and_the_members(store: Store) -> None:
    status = await store.status()
    assert (status.leader, status.members, status.has_quorum) == ("n1", ("n1",), True)


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


@contextlib.asynccontextmanager
async def cached(store: Store, *prefixes: str) -> AsyncIterator[StoreCache]:
    cache = StoreCache(store, prefixes)
    running = asyncio.ensure_future(cache.run())
    await asyncio.wait_for(cache.ready(), 5)
    try:
        yield cache
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_cache_follows_its_prefixes_and_knows_its_revision(store: Store) -> None:
    await store.txn([], [Put(key="c/1", value=b"1"), Put(key="d/1", value=b"1")])
    async with cached(store, "c/", "e/") as cache:
        result = await store.txn(
            [], [Put(key="c/2", value=b"2"), Put(key="e/1", value=b"1"), Put(key="d/2", value=b"")]
        )
        await asyncio.wait_for(cache.wait_for(result.revision), 5)
        assert [item.key for item in cache.items("")] == ["c/1", "c/2", "e/1"]
        result = await store.txn([], [Delete(key="c/1")])
        await asyncio.wait_for(cache.wait_for(result.revision), 5)
        assert cache.get("c/1") is None
        assert [item.key for item in cache.items("c/")] == ["c/2"]


async def test_followers_of_a_cache_miss_nothing_and_see_nothing_twice(store: Store) -> None:
    async with cached(store, "c/") as cache:
        seen: list[str] = []

        async def follow() -> None:
            async for batch in cache.changes():
                seen.extend(event.item.key for event in batch.events)
                if len(seen) >= 20:
                    return

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(0)
        for number in range(20):
            await store.txn([], [Put(key=f"c/{number:02}", value=b"")])
        await asyncio.wait_for(following, 5)
        assert seen == [f"c/{number:02}" for number in range(20)]


class Forgetful(MemoryStore):
    """Its watch ends as compacted after each batch, like a store that went on without the watcher."""

    async def watch(self, prefix, *, from_revision):  # type: ignore[no-untyped-def, override]
        async for batch in super().watch(prefix, from_revision=from_revision):
            yield batch
            if batch.events:
                raise Compacted(int(batch.revision))


async def test_a_cache_reads_again_when_history_is_gone_and_tells_the_differences() -> None:
    store = Forgetful()
    async with cached(store, "c/") as cache:
        for number in range(5):
            result = await store.txn([], [Put(key=f"c/{number}", value=b""), Delete(key=f"c/{number - 2}")])
            await asyncio.wait_for(cache.wait_for(result.revision), 5)
        assert [item.key for item in cache.items("c/")] == ["c/3", "c/4"]


def test_the_memory_engine_lets_time_pass_only_when_told() -> None:
    engine = MemoryEngine()
    revision = engine.machine.revision
    engine.advance(1_000)
    assert engine.machine.revision == revision
