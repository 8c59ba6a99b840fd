"""Three real store processes over mutual TLS: killed, stopped, asked; what they acknowledged is there."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from evals.nemesis.cluster import Setup, StoreCluster
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import NoQuorum, StoreFault
from runtime.consensus.store import Put, Revision

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def three_stores(directory: Path) -> StoreCluster:
    return StoreCluster(directory / "stores", Setup())


async def put(client: StoreClient, key: str) -> None:
    assert (await client.txn([], [Put(key=key, value=key.encode())])).succeeded


async def test_acknowledged_changes_survive_the_leaders_deaths_and_a_watch_sees_each_once(tmp_path: Path) -> None:
    async with three_stores(tmp_path) as stores:
        leader = await stores.leader()
        witness = next(node for node in stores.names if node != leader)
        seen: list[str] = []

        async def watch() -> None:
            async for batch in stores.open(witness, deadline_s=15.0).watch("k/", from_revision=Revision(1)):
                seen.extend(event.item.key for event in batch.events)
                if len(seen) >= 60:
                    return

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                for turn in range(3):
                    leader = await stores.leader()
                    writer = stores.client(next(node for node in stores.names if node != leader))
                    for number in range(10):
                        await put(writer, f"k/{turn}-a{number}")
                    if leader != witness:
                        stores.kill(leader)
                    for number in range(10):
                        await put(writer, f"k/{turn}-b{number}")
                    if leader != witness:
                        stores.start(leader)
        expected = [f"k/{turn}-{half}{number}" for turn in range(3) for half in "ab" for number in range(10)]
        assert seen == expected
        found = await stores.client(witness).range("k/")
        assert sorted(item.key for item in found.items) == sorted(expected)


async def test_all_three_killed_and_started_again_have_everything(tmp_path: Path) -> None:
    async with three_stores(tmp_path) as stores:
        for number in range(30):
            await put(stores.client("n1"), f"k/{number:02}")
        stores.kill(*stores.names)
        stores.start(*stores.names)
        for node in stores.names:
            found = await stores.client(node).range("k/")
            assert [item.key for item in found.items] == [f"k/{number:02}" for number in range(30)]


async def test_without_a_majority_changes_are_refused_and_stale_reads_answer(tmp_path: Path) -> None:
    async with three_stores(tmp_path) as stores:
        await put(stores.client("n1"), "k")
        async for batch in stores.client("n1").watch("k", from_revision=Revision(1)):
            if batch.events:  # this member knows by itself now that it is committed; stale reads show no more
                break
        stores.kill("n2", "n3")
        hasty = stores.open("n1", deadline_s=0.8)
        with pytest.raises((NoQuorum, StoreFault)):
            await put(hasty, "never")
        read = await stores.client("n1").get("k", stale_ok=True)
        assert read.stale
        assert read.item is not None
        stores.start("n2", "n3")
        await put(stores.client("n1"), "again")
        await hasty.close()


async def test_a_leader_that_slept_does_not_answer_for_the_others(tmp_path: Path) -> None:
    """After SIGCONT the old leader must find out that it no longer leads before it confirms a read."""
    async with three_stores(tmp_path) as stores:
        leader = await stores.leader()
        other = next(node for node in stores.names if node != leader)
        await put(stores.client(other), "k/before")
        stores.pause(leader)
        await put(stores.client(other), "k/after")
        stores.resume(leader)
        found = await stores.client(leader).get("k/after")
        assert found.item is not None


async def test_stores_that_are_told_to_stop_end_in_order(tmp_path: Path) -> None:
    async with three_stores(tmp_path) as stores:
        await put(stores.client("n1"), "k")
        for node in stores.names:
            await stores.client(node).status()  # one that has only just begun would die of the signal
        processes = dict(stores.processes)
        await stores.stop(*stores.names)
        assert {node: process.returncode for node, process in processes.items()} == dict.fromkeys(stores.names, 0)
