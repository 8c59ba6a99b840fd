"""Store processes that a benchmark starts: a directory and a certificate each, one authority, real ports."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import anyio

from evals.bench.peers import PeerFailed
from runtime.clock import SystemClock
from runtime.cluster.identity import Listen, NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.backup import save
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import StoreStatus
from runtime.invocation.listener import connect_unix
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node

CLUSTER: Final = "bench"
READY_S: Final = 30.0
LOOK_S: Final = 0.02


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class StoreGroup:
    """Implements Contender. `async with` begins the members and ends them."""

    name = "aether"

    def __init__(self, base: Path, size: int, options: tuple[str, ...] = ()) -> None:
        self.base = base
        self.nodes = tuple(f"n{number + 1}" for number in range(size))
        self._options = options
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._clients: dict[str, StoreClient] = {}
        now_ms = SystemClock().unix_ms()
        base.mkdir(parents=True)
        authority = Authority.create(base, CLUSTER, now_unix_ms=now_ms)
        ports = free_ports(size)
        self._addresses = {node: f"127.0.0.1:{port}" for node, port in zip(self.nodes, ports, strict=True)}
        for node in (*self.nodes, "client"):
            layout = self._layout(node)
            layout.tls.mkdir(parents=True)
            layout.data.chmod(0o700)
            issue_node(authority, layout.tls, NodeId(node), now_unix_ms=now_ms)
        for node, port in zip(self.nodes, ports, strict=True):
            self._write(node, "core", port, {name: each for name, each in self._addresses.items() if name != node})

    async def __aenter__(self) -> StoreGroup:
        for node in self.nodes:
            self.start(node)
        await self.leader()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        with anyio.CancelScope(shield=True):
            for client in self._clients.values():
                await client.close()
        for node in tuple(self._processes):
            self.kill(node)

    def start(self, node: str) -> None:
        words = [sys.executable, "-P", "-m", "agent_api.assemble.store", "--data", str(self.base / node)]
        self._processes[node] = subprocess.Popen([*words, *self._options])

    def kill(self, node: str) -> None:
        process = self._processes.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def pid(self, node: str) -> int:
        return self._processes[node].pid

    async def status(self, node: str) -> StoreStatus:
        if node not in self._clients:
            self._clients[node] = StoreClient.open(self._layout(node), read_identity(self._layout(node).identity))
        return await self._clients[node].status()

    async def leader(self) -> str:
        """One that every running member follows. Raises PeerFailed."""
        with anyio.move_on_after(READY_S):
            while True:
                leaders = {await self._leader_of(node) for node in self._processes}
                if len(leaders) == 1 and leaders <= self._processes.keys():
                    return leaders.pop()
                await anyio.sleep(LOOK_S)
        raise PeerFailed(f"the {len(self.nodes)} stores agreed on no leader in {READY_S:g} s")

    async def applied(self, node: str) -> int:
        """How far the member has come, in entries of the log."""
        try:
            return (await self.status(node)).applied_index
        except StoreFault:
            return 0

    async def snapshot(self, node: str, to: Path) -> None:
        """Makes the member write one of all that it holds, and takes a copy, as `aether store snapshot save` does."""
        revision = (await self.status(node)).revision
        connection = await connect_unix(self._layout(node).socket("store"))
        try:
            await save(connection, to, at_least=revision)
        finally:
            await connection.close()

    def load_words(self, *nodes: str) -> list[str]:
        """Of a load process whose clients connect to these members, in turn, by mutual TLS."""
        self._write("client", "worker", 0, {node: self._addresses[node] for node in nodes})
        return ["--store", str(self.base / "client")]

    async def _leader_of(self, node: str) -> str:
        try:
            return (await self.status(node)).leader
        except StoreFault:
            return ""

    def _layout(self, node: str) -> NodeLayout:
        return NodeLayout(self.base / node)

    def _write(self, node: str, role: str, port: int, others: dict[str, str]) -> None:
        identity = NodeIdentity(
            node=NodeId(node),
            cluster_id=CLUSTER,
            role="core" if role == "core" else "worker",
            listen=Listen(http=1, api=1, peer=1, control=1, store=port),
            first=role == "core",
            core_nodes=others,
        )
        write_identity(self._layout(node).identity, identity)
