"""What every engine must do alike: in memory, raft, etcd (a real server), and the client of a served store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from runtime.consensus import commands as c
from runtime.consensus.client import StoreClient
from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import Compacted, InvalidRequest, LeaseNotFound, QuotaExceeded, SessionLost, TooLarge
from runtime.consensus.etcd.channel import EtcdAddress
from runtime.consensus.etcd.engine import EtcdEngine
from runtime.consensus.memory import MemoryStore
from runtime.consensus.server import MemberEngine, StoreServer
from runtime.consensus.store import Compare, Delete, Get, Put, Revision, Store, absent, led_by, unchanged
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix
from tests.consensus.etcd_server import etcd_server
from tests.unit.test_store_engines import raft_of_one

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with etcd_server(tmp_path_factory.mktemp("etcd")) as endpoint:
        yield endpoint


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


@pytest.fixture(params=["memory", "raft", "etcd", "raft client", "etcd client"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryStore()
            return
        engine: MemberEngine
        if request.param.startswith("raft"):
            engine = await stack.enter_async_context(raft_of_one(tmp_path))
        else:
            endpoint = request.getfixturevalue("etcd")
            engine = await stack.enter_async_context(etcd_engine(endpoint, uuid4().hex))
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
        elif kind == "raft":
            store = EngineStore(await stack.enter_async_context(raft_of_one(tmp_path)))
        else:
            endpoint = request.getfixturevalue("etcd")
            store = EngineStore(await stack.enter_async_context(etcd_engine(endpoint, uuid4().hex)))
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


async def test_another_process_of_the_same_cluster_sees_it_all_and_leads_when_the_first_has_gone(etcd: str) -> None:
    cluster = uuid4().hex
    async with etcd_engine(etcd, cluster, "n2") as second, etcd_engine(etcd, cluster, "n1") as first:
        assert first.leader() == second.leader() == "n2"
        await EngineStore(first).txn([], [Put(key="a", value=b"1")])
        found = (await EngineStore(second).get("a")).item
        assert found is not None
        fence = first.machine.keys.get("_leader")
        assert fence is not None
    async with etcd_engine(etcd, cluster, "n3") as third:
        assert third.leader() == "n3"
        assert not (await EngineStore(third).txn([led_by(fence.mod_revision)], [Put(key="a", value=b"2")])).succeeded


async def test_changes_of_others_in_a_shared_etcd_hold_nobody_up(etcd: str) -> None:
    async with etcd_engine(etcd, uuid4().hex) as ours, etcd_engine(etcd, uuid4().hex) as theirs:
        await EngineStore(theirs).txn([], [Put(key="a", value=b"theirs")])
        found = await EngineStore(ours).get("a")
        assert found.item is None
        assert found.revision >= theirs.machine.revision
