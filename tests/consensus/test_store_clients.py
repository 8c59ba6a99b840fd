"""Nodes without a store of their own, over mutual TLS to the core nodes: sessions, caches, and core nodes that go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.consensus.cache import StoreCache
from runtime.consensus.client import StoreClient
from runtime.consensus.store import Put
from tests.consensus.store_group import NODES, StoreGroup, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@asynccontextmanager
async def worker(group: StoreGroup, *, learned: dict[str, str] | None = None) -> AsyncIterator[StoreClient]:
    def keep(addresses: dict[str, str]) -> None:
        if learned is not None:
            learned.clear()
            learned.update(addresses)

    client = StoreClient.open(group.layout("w1"), group.make_worker("w1"), deadline_s=15.0, learned=keep)
    try:
        yield client
    finally:
        await client.close()


async def asked(client: StoreClient) -> str:
    """The core node that the client is connected to."""
    return (await client.status()).node


async def test_a_worker_writes_to_any_core_node_and_goes_on_at_another_when_that_dies(tmp_path: Path) -> None:
    async with running(tmp_path) as group, worker(group) as client:
        for number in range(30):
            await client.txn([], [Put(key=f"k/{number:02}", value=b"1")])
            if number == 10:
                group.kill(await asked(client))
        found = (await client.range("k/")).items
        assert [(item.key, item.version) for item in found] == [(f"k/{number:02}", 1) for number in range(30)]


async def test_a_worker_leaves_a_core_node_that_hangs(group: StoreGroup) -> None:
    async with worker(group) as client:
        await client.txn([], [Put(key="k", value=b"1")])
        hung = await asked(client)
        group.processes[hung].send_signal(signal.SIGSTOP)
        await client.txn([], [Put(key="k", value=b"2")])
        assert await asked(client) != hung


async def test_a_worker_leaves_a_core_node_that_was_removed_and_learns_of_new_ones(tmp_path: Path) -> None:
    """Else a cluster whose core nodes were replaced one by one would lose its workers."""
    learned: dict[str, str] = {}
    async with running(tmp_path) as group, worker(group, learned=learned) as client:
        await client.txn([], [Put(key="k", value=b"1")])
        first = await asked(client)
        group.make("n4")
        other = next(node for node in NODES if node != first)
        await group.client(other).add_member("n4", group.addresses["n4"])
        group.start("n4")
        await group.until(lambda: _votes(group, other, "n4"))
        await group.client(other).remove_member(first)

        async def has_left() -> bool:
            """Once the removed one knows no leader any more, it cannot hand anything on."""
            await client.txn([], [Put(key="k", value=b"2")])
            return await asked(client) != first

        await group.until(has_left)
        assert set(learned) == {*NODES, "n4"} - {first}


async def _votes(group: StoreGroup, asked_node: str, node: str) -> bool:
    return node in (await group.client(asked_node).status()).members


async def test_a_confirmed_cache_has_all_that_was_acknowledged_anywhere(tmp_path: Path) -> None:
    async with running(tmp_path) as group, worker(group) as client:
        cache = StoreCache(client, ["k/"])
        following = asyncio.ensure_future(cache.run())
        await cache.ready()
        for number in range(50):
            node = NODES[number % 3]
            await group.client(node).txn([], [Put(key="k/1", value=str(number).encode())])
            await group.client(node).txn([], [Put(key="elsewhere", value=b"")])  # of no prefix of the cache
            revision = (await group.client(node).get("elsewhere")).revision
            assert await cache.confirmed() >= revision
            item = cache.get("k/1")
            assert item is not None
            assert item.value == str(number).encode()
        kept = await asked(client)
        group.kill(*(node for node in NODES if node != kept))
        with pytest.raises(TimeoutError):  # whom it could ask cannot know what others acknowledged
            async with asyncio.timeout(1):
                await cache.confirmed()
        assert cache.get("k/1") is not None
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_what_a_follower_answers_is_what_the_leader_knows(group: StoreGroup) -> None:
    """A linearizable read at a follower is handed to the leader; a stale one is answered there and marked."""
    follower = await group.follower()
    leader = await group.leader()
    for number in range(20):
        await group.client(leader).txn([], [Put(key="k", value=str(number).encode())])
        found = await group.client(follower).get("k")
        assert found.item is not None
        assert (found.item.value, found.stale) == (str(number).encode(), False)
    group.processes[leader].send_signal(signal.SIGSTOP)
    stale = await group.client(follower).get("k", stale_ok=True)
    assert (stale.stale, stale.item is not None) == (True, True)
