"""What every engine must do alike: in memory, raft, etcd (a real server), and the client of a served store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from runtime.consensus import commands as c
from runtime.consensus import server as server_module
from runtime.consensus.cache import StoreCache
from runtime.consensus.client import StoreClient
from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import (
    Compacted,
    InvalidRequest,
    LeaseNotFound,
    Overloaded,
    QuotaExceeded,
    SessionLost,
    TooLarge,
    TooManyWatchers,
)
from runtime.consensus.etcd import engine as etcd_engine_module
from runtime.consensus.etcd.channel import EtcdAddress
from runtime.consensus.etcd.engine import EtcdEngine
from runtime.consensus.memory import MemoryStore
from runtime.consensus.raft import engine as raft_engine_module
from runtime.consensus.server import MemberEngine, StoreServer
from runtime.consensus.store import (
    Compare,
    Delete,
    Get,
    Put,
    Revision,
    Store,
    TxnResult,
    WatchBatch,
    absent,
    led_by,
    unchanged,
)
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix
from tests.unit.test_store_engines import raft_of_one

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@contextlib.asynccontextmanager
async def etcd_engine(endpoint: str, cluster: str, node: str = "n1") -> AsyncIterator[EtcdEngine]:
    """Each test has a prefix of its own."""
    address = EtcdAddress(endpoints=(endpoint,), prefix="aether")
    engine = EtcdEngine(
        node=node, cluster=cluster, address=address, store_address="127.0.0.1:1", note=lambda _event, _fields: None
    )
    driving = asyncio.ensure_future(engine.run())
    try:
        async for leadership in EngineStore(engine).leadership():
            if leadership.leader:
                break
        yield engine
    finally:
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        await engine.close()


@contextlib.asynccontextmanager
async def served(engine: MemberEngine, directory: Path) -> AsyncIterator[StoreClient]:
    handlers = Handlers()
    StoreServer(engine, peer=None).offer(handlers)
    listener = await serve_unix(directory / "s.sock", handlers)
    client = StoreClient(lambda: connect_unix(directory / "s.sock"))
    try:
        yield client
    finally:
        await client.close()
        await listener.close()


@contextlib.asynccontextmanager
async def engine_of(kind: str, request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[MemberEngine]:
    if kind == "raft":
        async with raft_of_one(directory) as engine:
            yield engine
    else:
        async with etcd_engine(request.getfixturevalue("etcd"), uuid4().hex) as on_etcd:
            yield on_etcd


@pytest.fixture(params=["memory", "raft", "etcd", "raft client", "etcd client"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryStore()
            return
        engine = await stack.enter_async_context(engine_of(request.param.split()[0], request, tmp_path))
        if request.param.endswith("client"):
            yield await stack.enter_async_context(served(engine, tmp_path))
        else:
            yield EngineStore(engine)


async def test_a_revision_grows_with_each_change_and_marks_what_it_wrote(store: Store) -> None:
    first = await store.txn([absent("a")], [Put(key="a", value=b"1")])
    second = await store.txn([], [Put(key="a", value=b"2")])
    assert first.succeeded
    assert second.revision > first.revision
    item = (await store.get("a")).item
    assert item is not None
    assert (item.create_revision, item.mod_revision, item.version) == (first.revision, second.revision, 2)
    assert (await store.get("a", stale_ok=True)).stale
    assert (await store.get("nothing")).item is None


async def test_the_past_is_read_at_its_revision_and_the_future_is_refused(store: Store) -> None:
    first = await store.txn([], [Put(key="p/1", value=b"old")])
    last = await store.txn([], [Put(key="p/1", value=b"new"), Put(key="p/2", value=b"x")])
    past = await store.get("p/1", at_revision=first.revision)
    assert past.item is not None
    assert past.item.value == b"old"
    page = await store.range("p/", at_revision=first.revision)
    assert [item.value for item in page.items] == [b"old"]
    with pytest.raises(InvalidRequest):
        await store.get("p/1", at_revision=Revision(last.revision + 100))


async def test_pages_come_in_order_and_spare_the_neighbours(store: Store) -> None:
    await store.txn([], [Put(key=f"r/{number:02}", value=b"x") for number in range(25)] + [Put(key="s", value=b"x")])
    found, after = [], ""
    while True:
        page = await store.range("r/", after=after, limit=10)
        found += [item.key for item in page.items]
        if not page.more:
            break
        after = page.items[-1].key
    assert found == [f"r/{number:02}" for number in range(25)]
    await store.txn([], [Delete(key="r/", prefix=True)])
    assert (await store.range("r/")).items == ()
    assert (await store.get("s")).item is not None


@pytest.mark.parametrize("field", ["create_revision", "mod_revision", "version", "value"])
async def test_every_field_is_compared_and_absence_counts_as_nothing(store: Store, field: str) -> None:
    written = await store.txn([], [Put(key="a", value=b"5")])
    here: dict[str, int | bytes] = {
        "create_revision": written.revision,
        "mod_revision": written.revision,
        "version": 1,
        "value": b"5",
    }
    more = b"6" if field == "value" else int(here[field]) + 1

    async def holds(op: str, operand: int | bytes, key: str = "a") -> bool:
        compare = Compare(key=key, field=field, op=op, operand=operand)  # type: ignore[arg-type]
        return (await store.txn([compare], [Get(key="a")])).succeeded

    assert await holds("==", here[field])
    assert not await holds("==", more)
    assert await holds("!=", more)
    assert await holds("<", more)
    assert not await holds(">", here[field])
    assert await holds("==", b"" if field == "value" else 0, "absent")
    assert not await holds(">", b"" if field == "value" else 0, "absent")


async def test_a_transaction_does_all_of_one_branch(store: Store) -> None:
    await store.txn([], [Put(key="a", value=b"1")])
    result = await store.txn([absent("a")], [Put(key="a", value=b"2")], [Get(key="a"), Get(key="b")])
    assert not result.succeeded
    assert result.gets[0] is not None
    assert (result.gets[0].value, result.gets[1]) == (b"1", None)
    assert (await store.txn([unchanged("a", result.gets[0].mod_revision)], [Delete(key="a")])).succeeded


async def test_a_lease_takes_its_keys_with_it_and_is_known_no_more(store: Store) -> None:
    lease = await store.grant(60_000)
    await store.txn([], [Put(key="l", value=b"x", lease=lease)])
    await store.keep_alive(lease)
    item = (await store.get("l")).item
    assert item is not None
    assert item.lease == lease
    await store.revoke(lease)
    await store.revoke(lease)
    assert (await store.get("l")).item is None
    with pytest.raises(LeaseNotFound):
        await store.keep_alive(lease)
    with pytest.raises(LeaseNotFound):
        await store.txn([], [Put(key="l", value=b"x", lease=lease)])


async def test_a_fence_holds_only_for_the_leadership_that_gave_it(store: Store) -> None:
    async for leadership in store.leadership():
        if leadership.leader:
            break
    assert leadership.leader == "n1"
    assert (await store.txn([led_by(leadership.fence)], [Put(key="a", value=b"1")])).succeeded
    assert not (await store.txn([led_by(Revision(leadership.fence + 1))], [Put(key="a", value=b"2")])).succeeded


async def test_a_watch_has_no_gap_no_duplicate_and_tells_its_progress(store: Store) -> None:
    first = await store.txn([], [Put(key="w/0", value=b"")])
    seen: list[str] = []

    async def follow(until: Revision) -> None:
        async for batch in store.watch(("w/", "x/"), from_revision=first.revision):
            seen.extend(f"{event.kind} {event.item.key} {event.item.mod_revision}" for event in batch.events)
            if not batch.events and batch.revision >= until:
                return

    wanted = [f"put w/0 {first.revision}"]
    writing = asyncio.ensure_future(_write(store, wanted))
    last = await writing
    await asyncio.wait_for(follow(last), 20)
    assert seen == wanted


async def _write(store: Store, told: list[str]) -> Revision:
    for number in range(20):
        done = await store.txn([], [Put(key=f"w/{number}", value=b""), Put(key="other", value=b"")])
        told.append(f"put w/{number} {done.revision}")
    done = await store.txn([], [Delete(key="w/1")])
    told.append(f"delete w/1 {done.revision}")
    return done.revision


async def test_a_watch_tells_each_change_when_it_happens(store: Store) -> None:
    """Whoever writes can wait for what others see of it."""
    first = await store.txn([], [Put(key="w/0", value=b"")])
    watch = store.watch("w/", from_revision=first.revision)
    told = [event async for batch in _until(watch, first.revision) for event in batch.events]
    assert [event.item.key for event in told] == ["w/0"]
    for number in range(5):
        await store.txn([], [Put(key="elsewhere", value=b"")])
        done = await store.txn([], [Put(key=f"w/{number}", value=b"")])
        told = [event async for batch in _until(watch, done.revision) for event in batch.events]
        assert [event.item.mod_revision for event in told] == [done.revision]
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_watch_tells_all_changes_of_the_largest_revisions_at_once(store: Store) -> None:
    """More than one item of a stream takes: a watcher that could not have them would not get past them either."""
    keys = [f"w/{number:03}" for number in range(16)]
    first = await store.txn([], [Put(key=key, value=bytes(64 * 1024 - 64)) for key in keys])
    await store.txn([], [Delete(key="w/", prefix=True)])
    small = [f"w/{'long' * 100}/{number:04}" for number in range(2_000)]
    for at in range(0, 2_000, 500):
        await store.txn([], [Put(key=key, value=b"") for key in small[at : at + 500]])
    last = await store.txn([], [Delete(key="w/", prefix=True)])
    told = [batch async for batch in _until(store.watch("w/", from_revision=first.revision), last.revision)]
    events = [[event.item.key for event in batch.events] for batch in told if batch.events]
    assert events == [keys, keys, *(small[at : at + 500] for at in range(0, 2_000, 500)), small]


async def _until(watch: AsyncIterator[WatchBatch], revision: Revision) -> AsyncIterator[WatchBatch]:
    """What it tells up to the notice that nothing up to `revision` is missing."""
    async with asyncio.timeout(10):
        async for batch in watch:
            yield batch
            if not batch.events and batch.revision >= revision:
                return


async def test_a_lease_ends_by_itself_after_its_time_and_not_before(store: Store) -> None:
    began_s = time.monotonic()
    lease = await store.grant(500)
    kept = await store.grant(60_000)
    put = await store.txn([], [Put(key="l", value=b"", lease=lease), Put(key="m", value=b"", lease=kept)])
    watch = store.watch("l", from_revision=Revision(put.revision + 1))
    if isinstance(store, MemoryStore):  # its time is moved by hand
        store.engine.advance(499)
        store.engine.advance(499)
        assert (await store.get("l")).item is not None
        store.engine.advance(1)
    async with asyncio.timeout(20):
        while not (events := (await anext(watch)).events):
            pass  # a notice of what happened elsewhere
    assert [(event.kind, event.item.key) for event in events] == [("delete", "l")]
    assert isinstance(store, MemoryStore) or time.monotonic() - began_s >= 0.5
    assert (await store.get("l")).item is None
    assert (await store.get("m")).item is not None
    with pytest.raises(LeaseNotFound):
        await store.keep_alive(lease)


async def test_a_cache_follows_its_prefixes_and_its_readers_miss_nothing(store: Store) -> None:
    await store.txn([], [Put(key="c/1", value=b""), Put(key="d/1", value=b"")])
    cache = StoreCache(store, ["c/", "e/"])
    running = asyncio.ensure_future(cache.run())
    await asyncio.wait_for(cache.ready(), 10)
    changes = cache.changes()
    put = [Put(key=key, value=b"") for key in ("c/2", "e/1", "d/2")]
    for operations, wanted in ((put, ["c/1", "c/2", "e/1"]), ([Delete(key="c/1")], ["c/2", "e/1"])):
        done = await store.txn([], operations)
        await asyncio.wait_for(cache.wait_for(done.revision), 10)
        assert [item.key for item in cache.items("")] == wanted
        batch = await anext(changes)
        assert batch.revision == done.revision
        assert {event.item.key for event in batch.events} == {each.key for each in operations} - {"d/2"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_status_names_the_leader_and_the_members(store: Store) -> None:
    status = await store.status()
    assert (status.leader, status.members, status.has_quorum) == ("n1", ("n1",), True)


@pytest.mark.parametrize("kind", ["raft", "etcd"])
async def test_changes_and_watches_beyond_what_may_wait_are_refused_and_none_is_lost(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (raft_engine_module, etcd_engine_module):
        monkeypatch.setattr(module, "PENDING_MAX", 4)
    monkeypatch.setattr(server_module, "WATCHERS_MAX", 2)
    async with engine_of(kind, request, tmp_path) as engine, served(engine, tmp_path) as client:
        store = EngineStore(engine)
        writes = (store.txn([], [Put(key=f"p/{number}", value=b"")]) for number in range(10))
        answers = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(each, Overloaded) for each in answers) == 6
        assert len((await store.range("p/")).items) == 4
        written = answers[0]
        assert isinstance(written, TxnResult)
        watches = [client.watch("p/", from_revision=written.revision) for _ in range(2)]
        for watch in watches:
            assert (await anext(watch)).events
        with pytest.raises(TooManyWatchers):
            await anext(client.watch("p/", from_revision=written.revision))


async def test_history_that_was_compacted_is_refused_and_later_history_is_not(store: Store) -> None:
    first = await store.txn([], [Put(key="a", value=b"1")])
    second = await store.txn([], [Put(key="a", value=b"2")])
    third = await store.txn([], [Put(key="a", value=b"3")])
    await store.compact(second.revision)
    with pytest.raises(Compacted):
        await store.get("a", at_revision=first.revision)
    with pytest.raises(Compacted):
        async for _ in store.watch("a", from_revision=second.revision):
            pass
    async for batch in store.watch("a", from_revision=third.revision):
        assert [event.item.value for event in batch.events] == [b"3"]
        break
    with pytest.raises(InvalidRequest):
        await store.compact(Revision(third.revision + 100))


async def test_each_limit_has_its_own_error(store: Store) -> None:
    with pytest.raises(TooLarge, match="value"):
        await store.txn([], [Put(key="a", value=bytes(70_000))])
    with pytest.raises(TooLarge, match="key"):
        await store.txn([], [Put(key="k" * 600, value=b"")])
    with pytest.raises(TooLarge, match="operations"):
        await store.txn([], [Get(key="a")] * 600)
    with pytest.raises(TooLarge, match="transaction"):
        await store.txn([], [Put(key=f"a/{number}", value=bytes(60_000)) for number in range(20)])
    with pytest.raises(TooLarge, match="reads 4200070 bytes; the limit is 4194304"):
        await store.txn([], [Put(key="b", value=bytes(60_000)), *[Get(key="b")] * 70])
    assert (await store.get("b")).item is None
    await store.txn([], [Put(key="a", value=bytes(60_000))])
    with pytest.raises(TooLarge, match="reads 4200070 bytes"):
        await store.txn([], [Get(key="a")] * 70)
    assert len((await store.txn([], [Get(key="a")] * 69)).gets) == 69
    with pytest.raises(InvalidRequest):
        await store.txn([], [Put(key="", value=b"")])
    with pytest.raises(InvalidRequest):
        await store.grant(1)
    with pytest.raises(QuotaExceeded):
        for number in range(300):
            await store.txn([], [Put(key=f"other/{number}-{at}", value=bytes(60_000)) for at in range(16)])
    await store.txn([], [Put(key="endpoint/e", value=b"x")])


async def test_the_largest_transaction_that_is_allowed_is_done(store: Store) -> None:
    result = await store.txn([], [Put(key=f"m/{number:03}", value=b"x") for number in range(512)])
    assert result.succeeded
    assert len((await store.range("m/")).items) == 512


@pytest.mark.parametrize("kind", ["memory", "raft", "etcd"])
async def test_a_repeated_change_is_applied_once_and_answers_the_same(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A settled change that comes late, and one of a session that never was, are refused rather than applied."""
    async with contextlib.AsyncExitStack() as stack:
        if kind == "memory":
            store: EngineStore = MemoryStore()
        else:
            store = EngineStore(await stack.enter_async_context(engine_of(kind, request, tmp_path)))
        session = (await store.command(c.Envelope(c.OpenSession()))).session
        txn = c.Txn((absent("a"),), (Get(key="a"), Put(key="a", value=b"1"), Get(key="a")), (Put(key="b", value=b"x"),))
        first = await store.command(c.Envelope(txn, session, 1, 1))
        again = await store.command(c.Envelope(txn, session, 1, 1))
        assert first == again
        assert first.txn is not None
        assert first.txn.succeeded
        assert (await store.get("b")).item is None
        await store.command(c.Envelope(c.Txn((), (Put(key="n", value=b""),)), session, 2, 2))
        with pytest.raises(SessionLost):
            await store.command(c.Envelope(txn, session, 1, 1))
        with pytest.raises(SessionLost):
            await store.command(c.Envelope(txn, 987_654_321, 1, 1))
        assert (await store.get("b")).item is None
