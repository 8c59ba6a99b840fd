"""Three real store processes over mutual TLS: killed, restarted, asked; what they acknowledged is there."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.cluster.identity import Listen, NodeIdentity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import NoQuorum, StoreFault
from runtime.consensus.store import Put, Revision
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
NODES = ("n1", "n2", "n3")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Stores:
    """The processes, and a client at each node's socket."""

    def __init__(self, base: Path) -> None:
        self.base = base
        now_ms = time.time_ns() // 1_000_000
        (base / "ca").mkdir()
        authority = Authority.create(base / "ca", "test", now_unix_ms=now_ms)
        addresses = {node: f"127.0.0.1:{port}" for node, port in zip(NODES, free_ports(3), strict=True)}
        self.identities: dict[str, NodeIdentity] = {}
        for node in NODES:
            layout = self.layout(node)
            layout.tls.mkdir(parents=True)
            issue_node(authority, layout.tls, node, now_unix_ms=now_ms)
            identity = NodeIdentity(
                node=NodeId(node),
                cluster_id="test",
                role="core",
                listen=Listen(http=1, api=1, peer=1, control=1, store=int(addresses[node].rpartition(":")[2])),
                first=True,
                core_nodes=addresses,
            )
            write_identity(layout.identity, identity)
            self.identities[node] = identity
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.clients: dict[str, StoreClient] = {}

    def layout(self, node: str) -> NodeLayout:
        return NodeLayout(self.base / node)

    def start(self, node: str) -> None:
        command = [sys.executable, "-P", "-m", "agent_api.assemble.store", "--data", str(self.base / node)]
        self.processes[node] = subprocess.Popen(command)
        if node not in self.clients:
            self.clients[node] = StoreClient.open(self.layout(node), self.identities[node], deadline_s=15.0)

    def kill(self, *nodes: str) -> None:
        for node in nodes:
            self.processes[node].kill()
        for node in nodes:
            self.processes.pop(node).wait()

    async def leader(self) -> str:
        for node in itertools.cycle(NODES):
            if node in self.processes:
                status = await self.clients[node].status()
                if status.leader in self.processes:
                    return status.leader
                await asyncio.sleep(0.02)
        raise AssertionError

    async def close(self) -> None:
        for node in self.processes:
            await self.clients[node].status()  # one that has only just begun would die of the signal
        for client in self.clients.values():
            await client.close()
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        assert [process.wait(10) for process in self.processes.values()] == [0] * len(self.processes)


@asynccontextmanager
async def running(base: Path) -> AsyncIterator[Stores]:
    stores = Stores(base)
    for node in NODES:
        stores.start(node)
    try:
        yield stores
    finally:
        await stores.close()


async def put(client: StoreClient, key: str) -> None:
    assert (await client.txn([], [Put(key=key, value=key.encode())])).succeeded


async def test_acknowledged_changes_survive_the_leaders_deaths_and_a_watch_sees_each_once(tmp_path: Path) -> None:
    async with running(tmp_path) as stores:
        leader = await stores.leader()
        witness = next(node for node in NODES if node != leader)
        seen: list[str] = []

        async def watch() -> None:
            async for batch in stores.clients[witness].watch("k/", from_revision=Revision(1)):
                seen.extend(event.item.key for event in batch.events)
                if len(seen) >= 60:
                    return

        watching = asyncio.ensure_future(watch())
        for turn in range(3):
            leader = await stores.leader()
            writer = stores.clients[next(node for node in NODES if node != leader and node in stores.processes)]
            for number in range(10):
                await put(writer, f"k/{turn}-a{number}")
            if leader != witness:
                stores.kill(leader)
            for number in range(10):
                await put(writer, f"k/{turn}-b{number}")
            if leader != witness:
                stores.start(leader)
        await asyncio.wait_for(watching, 30)
        expected = [f"k/{turn}-{half}{number}" for turn in range(3) for half in "ab" for number in range(10)]
        assert seen == expected
        found = await stores.clients[witness].range("k/")
        assert sorted(item.key for item in found.items) == sorted(expected)


async def test_all_three_killed_and_started_again_have_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as stores:
        for number in range(30):
            await put(stores.clients["n1"], f"k/{number:02}")
        stores.kill(*NODES)
        for node in NODES:
            stores.start(node)
        for node in NODES:
            found = await stores.clients[node].range("k/")
            assert [item.key for item in found.items] == [f"k/{number:02}" for number in range(30)]


async def test_without_a_majority_changes_are_refused_and_stale_reads_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as stores:
        await put(stores.clients["n1"], "k")
        stores.kill("n2", "n3")
        hasty = StoreClient.open(stores.layout("n1"), stores.identities["n1"], deadline_s=2.5)
        with pytest.raises((NoQuorum, StoreFault)):
            await put(hasty, "never")
        read = await hasty.get("k", stale_ok=True)
        assert read.stale
        assert read.item is not None
        stores.start("n2")
        stores.start("n3")
        await put(stores.clients["n1"], "again")
        await hasty.close()


async def test_a_leader_that_slept_does_not_answer_for_the_others(tmp_path: Path) -> None:
    """After SIGCONT the old leader must find out that it no longer leads before it confirms a read."""
    async with running(tmp_path) as stores:
        leader = await stores.leader()
        other = next(node for node in NODES if node != leader)
        await put(stores.clients[other], "k/before")
        stores.processes[leader].send_signal(signal.SIGSTOP)
        await put(stores.clients[other], "k/after")
        stores.processes[leader].send_signal(signal.SIGCONT)
        found = await stores.clients[leader].get("k/after")
        assert found.item is not None
