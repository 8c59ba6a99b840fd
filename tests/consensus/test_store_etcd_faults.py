"""An etcd that dies, hangs, forgets or cannot be reached: every call ends with its own error, then all goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aetcd.rpc import rpc_pb2 as pb

from agent_api.assemble.etcd_store import serve_etcd
from runtime.config.settings import read_settings
from runtime.consensus import commands as c
from runtime.consensus.engine import EngineStore
from runtime.consensus.errors import Compacted, EtcdUnreachable, NoQuorum, StoreUnavailable
from runtime.consensus.etcd import engine as etcd_engine_module
from runtime.consensus.etcd import leader, mirror
from runtime.consensus.etcd.channel import Channel, EtcdAddress, asked
from runtime.consensus.etcd.engine import EtcdEngine
from runtime.consensus.store import Put, Revision
from runtime.telemetry.log import open_log
from tests.consensus.etcd_server import EtcdServer, free_port
from tests.consensus.store_group import StoreGroup, refusal
from tests.consensus.test_store_conformance import etcd_engine

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.usefixtures("one_loop")]
CALL_S = 0.4
IN_TIME_S = 10.0  # a busy machine; without a deadline it would be never


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    found = EtcdServer(tmp_path_factory.mktemp("etcd"))
    found.start()
    yield found
    found.kill()


@contextlib.contextmanager
def short_calls() -> Iterator[None]:
    """While nothing answers anyway."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (etcd_engine_module, leader, mirror):
            patch.setattr(module, "CALL_S", CALL_S)
        yield


async def until_done(call: Callable[[], Awaitable[object]]) -> None:
    """What was refused while etcd was away is done once it is back."""
    async with asyncio.timeout(20):
        while True:
            try:
                await call()
                return
            except (NoQuorum, StoreUnavailable):
                await asyncio.sleep(0.02)


async def test_an_etcd_that_was_killed_goes_on_where_it_was_and_nobody_misses_a_change(server: EtcdServer) -> None:
    async with etcd_engine(server.endpoint, uuid4().hex) as engine:
        store = EngineStore(engine)
        first = await store.txn([], [Put(key="a", value=b"1")])
        seen: list[tuple[int, bytes]] = []

        async def follow() -> None:
            async for batch in store.watch("a", from_revision=first.revision):
                seen.extend((event.item.version, event.item.value) for event in batch.events)
                if seen and seen[-1][1] == b"2":
                    return

        following = asyncio.ensure_future(follow())
        server.kill()
        with short_calls(), pytest.raises((EtcdUnreachable, NoQuorum)):
            await store.txn([], [Put(key="b", value=b"")])
        stale = await store.get("a", stale_ok=True)
        assert (stale.stale, stale.item is not None) == (True, True)
        server.start()
        await until_done(lambda: store.txn([], [Put(key="a", value=b"2")]))
        await asyncio.wait_for(following, 20)
        assert seen[0] == (1, b"1")
        assert [version for version, _ in seen] == list(range(1, len(seen) + 1))


async def test_calls_to_an_etcd_that_hangs_end_in_time_and_are_done_when_it_wakes_up(server: EtcdServer) -> None:
    async with etcd_engine(server.endpoint, uuid4().hex) as engine:
        store = EngineStore(engine)
        lease = await store.grant(60_000)
        first = await store.txn([], [Put(key="a", value=b"1")])
        server.pause()
        with short_calls():
            calls = [
                store.get("a"),
                store.range("a"),
                store.txn([], [Put(key="a", value=b"2")]),
                store.grant(60_000),
                store.keep_alive(lease),
                store.revoke(lease),
                store.compact(first.revision),
                store.status(),
            ]
            async with asyncio.timeout(IN_TIME_S):
                answers = await asyncio.gather(*calls, return_exceptions=True)
        server.resume()
        assert [type(each) for each in answers] == [EtcdUnreachable] * len(calls)
        await until_done(lambda: store.txn([], [Put(key="b", value=b"3")]))
        found = (await store.get("b")).item  # not of "a": what was not answered may still be done, at any time
        assert found is not None
        assert found.value == b"3"


async def test_history_that_etcd_compacted_while_the_watch_was_away_is_told_to_watchers(server: EtcdServer) -> None:
    """Else what changed meanwhile would be missing without a word."""
    cluster = uuid4().hex
    address = EtcdAddress(endpoints=(server.endpoint,), prefix="aether")
    away = EtcdEngine(
        node="n2", cluster=cluster, address=address, store_address="127.0.0.1:2", note=lambda _event, _fields: None
    )
    running = asyncio.ensure_future(away.run())
    async with etcd_engine(server.endpoint, cluster) as engine:
        store = EngineStore(engine)
        first = await store.txn([], [Put(key="a", value=b"1")])
        await EngineStore(away).get("a")
        watch = EngineStore(away).watch("a", from_revision=first.revision)
        assert (await anext(watch)).events[0].item.value == b"1"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for number in range(3):
            last = await store.txn([], [Put(key="a", value=str(number).encode())])
        await store.compact(Revision(last.revision))
        running = asyncio.ensure_future(away.run())
        with pytest.raises(Compacted):
            async with asyncio.timeout(20):
                async for batch in watch:
                    assert not batch.events
        found = (await EngineStore(away).get("a")).item
        assert found is not None
        assert found.value == b"2"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await away.close()


async def test_a_lease_that_is_asked_for_again_is_the_same_one(server: EtcdServer) -> None:
    """The first answer may have been lost; a lease that nobody knows of would stay for its whole time."""
    async with etcd_engine(server.endpoint, uuid4().hex) as engine:
        store = EngineStore(engine)
        session = (await store.command(c.Envelope(c.OpenSession()))).session
        before = await leases(server.endpoint)
        found = [(await store.command(c.Envelope(c.Grant(60_000), session, 1))).lease for _ in range(2)]
        found.append((await store.command(c.Envelope(c.Grant(60_000), session, 2))).lease)
        assert found[0] == found[1] != found[2]
        assert await leases(server.endpoint) - before == set(found)


async def leases(endpoint: str) -> set[int]:
    channel = Channel(EtcdAddress(endpoints=(endpoint,), prefix="x"))
    try:
        answer = await asked(channel.lease.LeaseLeases(pb.LeaseLeasesRequest(), timeout=2))
        return {int(each.ID) for each in answer.leases}
    finally:
        await channel.close()


async def test_a_watch_at_a_member_that_is_cut_off_ends(tmp_path: Path) -> None:
    """It would hear nothing, and nobody would know: another member has the changes."""
    ports = {"e1": free_port(), "e2": free_port()}
    members = [EtcdServer(tmp_path, name=name, peers=ports) for name in ports]
    cut_off = asyncio.Event()

    def note(_event: str, fields: dict[str, object]) -> None:
        if "no leader" in str(fields):
            cut_off.set()

    try:
        for member in members:
            member.launch()
        for member in members:
            member.wait()
        engine = EtcdEngine(
            node="n1",
            cluster="c",
            address=EtcdAddress(endpoints=(members[0].endpoint,), prefix="aether"),
            store_address="127.0.0.1:1",
            note=note,
        )
        running = asyncio.ensure_future(engine.run())
        await until_done(lambda: EngineStore(engine).txn([], [Put(key="a", value=b"1")]))
        members[1].pause()
        await asyncio.wait_for(cut_off.wait(), 20)
        members[1].resume()
        await until_done(lambda: EngineStore(engine).txn([], [Put(key="a", value=b"2")]))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.close()
    finally:
        for member in members:
            member.kill()


def without_etcd(base: Path) -> StoreGroup:
    group = StoreGroup(base, voters=("n1",))
    text = f'store_engine = "etcd"\nstore_etcd_endpoints = ["127.0.0.1:{free_port()}"]\n'
    (group.layout("n1").data / "config.toml").write_text(text)
    return group


def test_a_store_that_reaches_no_etcd_at_its_start_says_what_to_look_at(tmp_path: Path) -> None:
    said = refusal(without_etcd(tmp_path).layout("n1").data)
    assert "etcd did not answer" in said
    assert "store_etcd_endpoints" in said


async def test_a_store_that_could_not_start_leaves_no_task_and_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = without_etcd(tmp_path)
    layout, closed = group.layout("n1"), list[Channel]()
    close = Channel.close

    async def noted(channel: Channel) -> None:
        closed.append(channel)
        await close(channel)

    monkeypatch.setattr(Channel, "close", noted)
    log = open_log(layout.logs, "store", node="n1")
    with pytest.raises(EtcdUnreachable):
        await serve_etcd(layout, group.identity("n1"), read_settings(layout.data), log)
    log.close()
    assert len(closed) == 1
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "etcd"] == []
