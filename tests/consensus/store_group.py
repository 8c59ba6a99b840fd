"""Store processes for tests: directories with certificates of one authority, started, killed, and looked at."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio

from runtime.cluster.identity import Listen, NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node

NODES = ("n1", "n2", "n3")
SOON_S = 0.02


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def store_command(data: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "agent_api.assemble.store", "--data", str(data)]


def refusal(data: Path, *, before: Sequence[str] = ()) -> str:
    """What a store process says that must not start from its directory."""
    done = subprocess.run([*before, *store_command(data)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr


class StoreGroup:
    """The first `voters` are the bootstrap's members; more can be made with `make`, and join as learners."""

    def __init__(self, base: Path, *, cluster: str = "test", voters: Sequence[str] = NODES) -> None:
        self.base, self.cluster = base, cluster
        base.mkdir(parents=True, exist_ok=True)
        self.authority = Authority.create(base / "ca", cluster, now_unix_ms=time.time_ns() // 1_000_000)
        ports = free_ports(len(voters) + 2)
        self.spare_ports = ports[len(voters) :]
        self.addresses = {node: f"127.0.0.1:{port}" for node, port in zip(voters, ports, strict=False)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.clients: dict[str, StoreClient] = {}
        for node in voters:
            self.make(node, votes=True)

    def make_worker(self, node: str) -> NodeIdentity:
        """A node without a store, as one that joined while the voters were the core nodes."""
        layout = self.layout(node)
        layout.tls.mkdir(parents=True)
        issue_node(self.authority, layout.tls, NodeId(node), now_unix_ms=time.time_ns() // 1_000_000)
        identity = NodeIdentity(
            node=NodeId(node),
            cluster_id=self.cluster,
            role="worker",
            listen=Listen(http=1, api=1, peer=1, control=1),
            core_nodes=dict(self.addresses),
        )
        write_identity(layout.identity, identity)
        return identity

    def make(self, node: str, *, votes: bool = False) -> NodeIdentity:
        address = self.addresses.setdefault(node, f"127.0.0.1:{self.spare_ports[-1]}")
        if address.endswith(f":{self.spare_ports[-1]}"):
            self.spare_ports.pop()
        layout = self.layout(node)
        layout.tls.mkdir(parents=True)
        layout.data.chmod(0o700)
        issue_node(self.authority, layout.tls, NodeId(node), now_unix_ms=time.time_ns() // 1_000_000)
        identity = NodeIdentity(
            node=NodeId(node),
            cluster_id=self.cluster,
            role="core",
            listen=Listen(http=1, api=1, peer=1, control=1, store=int(address.rpartition(":")[2])),
            first=votes,
            core_nodes={name: each for name, each in self.addresses.items() if name != node},
        )
        write_identity(layout.identity, identity)
        return identity

    def layout(self, node: str) -> NodeLayout:
        return NodeLayout(self.base / node)

    def identity(self, node: str) -> NodeIdentity:
        return read_identity(self.layout(node).identity)

    def start(self, *nodes: str, before: Sequence[str] = ()) -> None:
        for node in nodes:
            self.processes[node] = subprocess.Popen([*before, *store_command(self.base / node)])

    def client(self, node: str) -> StoreClient:
        if node not in self.clients:
            self.clients[node] = StoreClient.open(self.layout(node), self.identity(node), deadline_s=20.0)
        return self.clients[node]

    def kill(self, *nodes: str) -> None:
        for node in nodes:
            self.processes[node].kill()
        for node in nodes:
            self.processes.pop(node).wait()

    async def leader(self) -> str:
        for node in itertools.cycle(tuple(self.processes)):
            leader = (await self.client(node).status()).leader
            if leader in self.processes:
                return leader
            await anyio.sleep(SOON_S)
        raise AssertionError

    async def follower(self) -> str:
        leader = await self.leader()
        return next(node for node in self.processes if node != leader)

    async def reads(self, node: str, key: str) -> bool:
        """Whether that member itself has the key."""
        return (await self.client(node).get(key, stale_ok=True)).item is not None

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        with anyio.fail_after(30):
            while True:
                if await holds():
                    return
                await anyio.sleep(SOON_S)

    def noted(self, node: str, event: str, **fields: object) -> list[dict[str, object]]:
        """The lines of a store's log about that event with these fields; it writes them every half second."""
        found = []
        for path in sorted(self.layout(node).logs.rglob("*")):
            if path.is_file():
                found += [json.loads(line) for line in path.read_text().splitlines() if f'"{event}"' in line]
        return [line for line in found if fields.items() <= line.items()]

    async def until_noted(self, node: str, event: str, **fields: object) -> dict[str, object]:
        with anyio.fail_after(20):
            while True:
                if found := self.noted(node, event, **fields):
                    return found[0]
                await anyio.sleep(SOON_S)

    async def hang_up(self) -> None:
        """A client belongs to the loop that opened it."""
        while self.clients:
            await self.clients.popitem()[1].close()

    async def close(self) -> None:
        await self.hang_up()
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes.values():
            process.wait()


@asynccontextmanager
async def running(base: Path, *, start: Iterable[str] = NODES) -> AsyncIterator[StoreGroup]:
    group = StoreGroup(base)
    try:
        group.start(*start)
        yield group
    finally:
        await group.close()


@contextmanager
def standing(base: Path) -> Iterator[StoreGroup]:
    """For tests that leave a group as well as they found it: starting one takes longer than most of them."""
    group = StoreGroup(base)
    try:
        group.start(*NODES)
        yield group
    finally:
        asyncio.run(group.close())
