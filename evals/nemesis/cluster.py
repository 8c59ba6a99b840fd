"""A cluster of real store processes: started, killed, stopped, woken, with every link between them in our hands."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import anyio
from anyio.abc import TaskGroup

from evals.forge.ports import bases
from evals.forge.waiting import came_true
from evals.nemesis.errors import NotThere, PromiseBroken
from evals.nemesis.links import CLIENTS, Links
from evals.nemesis.volume import Volume, open_volume
from runtime.clock import SystemClock
from runtime.cluster.identity import Listen, NodeIdentity, read_identity, write_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import OFFSETS
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.operator import MemberDigest, Operator, differing
from runtime.consensus.store import StoreStatus
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node

CLUSTER: Final = "nemesis"
LOOK_S: Final = 0.03
START_AGAIN_S: Final = 0.4  # as a supervisor, after a store that ended by itself
ASK_S: Final = 1.0  # one member's time to say how it stands
END_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a cluster is made of. With `volumes` every node's directory is on a disk that can be filled."""

    size: int = 3
    volumes: bool = False
    snapshot_every: int = 20_000
    snapshot_kept: int = 5_000
    preloaded_keys: int = 0  # so that a snapshot takes a while


class StoreCluster:
    """`async with`: all members run inside, and none is left behind."""

    def __init__(self, directory: Path, setup: Setup, *, seed: int = 0) -> None:
        self.directory = directory
        self.setup = setup
        self.names = tuple(f"n{number + 1}" for number in range(setup.size))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.paused: set[str] = set()
        self.failing: set[str] = set()  # may end by themselves: their disk is full
        self.failures: dict[str, int] = dict.fromkeys(self.names, 0)
        self.volumes: dict[str, Volume] = {}
        self.links = Links(self._pids, random.Random(seed))  # noqa: S311  repeatable, nothing secret
        self._wanted: set[str] = set()
        self._clients: dict[str, StoreClient] = {}
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> StoreCluster:
        await self._tasks.__aenter__()
        try:
            await self._make(self._tasks)
            self.start(*self.names)
        except BaseException:
            self._tasks.cancel_scope.cancel()
            await self._close(keep=False)
            raise
        self._tasks.start_soon(self._supervise)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._close(keep=error is not None)
        return await self._tasks.__aexit__(kind, error, trace)

    async def _close(self, *, keep: bool) -> None:
        self.kill(*self.processes)
        for client in self._clients.values():
            await client.close()
        for volume in self.volumes.values():
            volume.close(keep=keep)

    # -- making --------------------------------------------------------------------------------------------------------

    async def _make(self, tasks: TaskGroup) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        authority = Authority.create(self.directory / "ca", CLUSTER, now_unix_ms=SystemClock().unix_ms())
        ports = {node: base + OFFSETS["store"] for node, base in zip(self.names, bases(len(self.names)), strict=True)}
        addresses = {node: f"127.0.0.1:{await self.links.listen(tasks, node, port)}" for node, port in ports.items()}
        for node in self.names:
            if self.setup.volumes:
                self.volumes[node] = open_volume(self.layout(node).data)
            self._write(authority, node, ports[node], addresses)
        self._write(authority, CLIENTS, 0, addresses)

    def _write(self, authority: Authority, node: str, port: int, addresses: dict[str, str]) -> None:
        layout = self.layout(node)
        layout.tls.mkdir(parents=True)
        layout.data.chmod(0o700)
        issue_node(authority, layout.tls, NodeId(node), now_unix_ms=SystemClock().unix_ms())
        write_identity(layout.identity, _identity(node, port, addresses))

    def layout(self, node: str) -> NodeLayout:
        return NodeLayout(self.directory / node)

    # -- processes -----------------------------------------------------------------------------------------------------

    def start(self, *nodes: str) -> None:
        for node in nodes:
            self._wanted.add(node)
            command = [sys.executable, "-P", "-m", "agent_api.assemble.store", "--data", str(self.layout(node).data)]
            command += ["--snapshot-every", str(self.setup.snapshot_every)]
            command += ["--snapshot-kept", str(self.setup.snapshot_kept)]
            with (self.directory / f"{node}.stderr").open("ab") as said:
                self.processes[node] = subprocess.Popen(command, stderr=said, process_group=0)  # Ctrl-C is not for it
            if node in self.volumes:
                self.volumes[node].started(self.processes[node].pid)

    def kill(self, *nodes: str) -> None:
        """All at once, as when the machines lose power together."""
        for node in nodes:
            self._wanted.discard(node)
            self.processes[node].kill()
        for node in nodes:
            self.processes.pop(node).wait()
            self.paused.discard(node)

    async def stop(self, *nodes: str) -> None:
        """In good order. Raises PromiseBroken for one that does not end well."""
        for node in nodes:
            self._wanted.discard(node)
            self.processes[node].send_signal(signal.SIGTERM)

        async def ended() -> bool:
            return all(self.processes[node].poll() is not None for node in nodes)

        await came_true(ended, timeout_s=END_S, look_s=LOOK_S)
        for node in nodes:
            code = self.processes[node].poll()
            if code not in (0, -signal.SIGTERM):  # the latter: it had only just begun
                raise PromiseBroken(f"{node} was told to stop and {'did not' if code is None else f'gave {code}'}")
            del self.processes[node]

    def pause(self, *nodes: str) -> None:
        for node in nodes:
            self.processes[node].send_signal(signal.SIGSTOP)
            self.paused.add(node)

    def resume(self, *nodes: str) -> None:
        for node in nodes:
            self.processes[node].send_signal(signal.SIGCONT)
            self.paused.discard(node)

    def _pids(self) -> dict[str, int]:
        return {node: process.pid for node, process in self.processes.items()}

    async def _supervise(self) -> None:
        """Starts again what ended by itself, which only a store whose disk is full may do."""
        while True:
            for node in sorted(self._wanted & self.processes.keys()):
                code = self.processes[node].poll()
                if code is None:
                    continue
                if node not in self.failing:
                    raise PromiseBroken(f"the store of {node} ended by itself with {code}; see {self.directory}")
                self.failures[node] += 1
                await anyio.sleep(START_AGAIN_S)
                if node in self._wanted:
                    self.start(node)
            await anyio.sleep(LOOK_S)

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def awake(self) -> tuple[str, ...]:
        """Those that run and are not paused."""
        return tuple(node for node in self.names if node in self.processes and node not in self.paused)

    def client(self, node: str) -> StoreClient:
        """For looking; load has clients of its own."""
        if node not in self._clients:
            self._clients[node] = self.open(node, deadline_s=END_S)
        return self._clients[node]

    def open(self, node: str, *, deadline_s: float) -> StoreClient:
        """A client at that node's socket, or, at `CLIENTS`, one that comes over mutual TLS to any of them."""
        layout = self.layout(node)
        return StoreClient.open(layout, read_identity(layout.identity), deadline_s=deadline_s)

    async def status(self, node: str) -> StoreStatus | None:
        """None when it does not answer soon."""
        with anyio.move_on_after(ASK_S):
            try:
                return await self.client(node).status()
            except StoreFault:
                return None
        return None

    async def statuses(self, nodes: tuple[str, ...] = ()) -> dict[str, StoreStatus]:
        """Of those that answer."""
        found: dict[str, StoreStatus] = {}

        async def ask(node: str) -> None:
            status = await self.status(node)
            if status is not None:
                found[node] = status

        async with anyio.create_task_group() as tasks:
            for node in nodes or self.awake:
                tasks.start_soon(ask, node)
        return found

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]], *, timeout_s: float) -> None:
        """Raises NotThere, with how the members stand."""
        if await came_true(condition, timeout_s=timeout_s, look_s=LOOK_S):
            return
        stand = "; ".join(str(status) for status in (await self.statuses()).values())
        raise NotThere(f"not seen in {timeout_s:.0f} s: {what}. {stand or 'no member answers'}")

    async def leader(self, *, timeout_s: float = END_S) -> str:
        """Whom all that are awake agree on, and who is one of them. Raises NotThere."""
        found = ""

        async def agreed() -> bool:
            nonlocal found
            nodes = self.awake
            seen = await self.statuses(nodes)
            leaders = {status.leader for status in seen.values()}
            found = next(iter(leaders), "")
            return len(seen) == len(nodes) and len(leaders) == 1 and found in nodes

        await self.until("a leader that all know", agreed, timeout_s=timeout_s)
        return found

    async def until_well(self, *, timeout_s: float) -> float:
        """Every member runs, follows one leader and has what the leader had when it was asked. Gives the seconds."""
        began_s = time.monotonic()
        goal = 0

        async def well() -> bool:
            nonlocal goal
            seen = await self.statuses()
            if len(seen) < len(self.names) or len({(status.leader, status.term) for status in seen.values()}) != 1:
                return False
            leader = next(iter(seen.values())).leader
            if leader not in seen:
                return False
            goal = goal or seen[leader].commit_index
            return all(status.applied_index >= goal for status in seen.values())

        await self.until("every member well", well, timeout_s=timeout_s)
        return time.monotonic() - began_s

    async def check_equal(self, *, timeout_s: float) -> None:
        """All members' states at one entry of the log. Raises PromiseBroken when they differ, NotThere when some member
        does not say in time."""
        layout = self.layout(self.names[0])
        operator = Operator(layout, read_identity(layout.identity))
        digests: list[MemberDigest] = []

        async def all_say() -> bool:
            nonlocal digests
            digests = await operator.check()
            return len(digests) == len(self.names) and all(each.digest is not None for each in digests)

        try:
            if not await came_true(all_say, timeout_s=timeout_s, look_s=LOOK_S):
                raise NotThere(f"no digest of every member in {timeout_s:.0f} s: {digests}")
        finally:
            await operator.close()
        if differing(digests):
            raise PromiseBroken(f"members have different states at one entry of the log: {digests}")


def _identity(node: str, port: int, addresses: dict[str, str]) -> NodeIdentity:
    """As `aether node init` and `join` write it; each of the first members begins with a vote."""
    advertised = {"store": addresses[node]} if node in addresses else {}
    return NodeIdentity(
        node=NodeId(node),
        cluster_id=CLUSTER,
        role="core" if port else "worker",
        listen=Listen(http=1, api=1, peer=1, control=1, store=port, advertised=advertised),
        first=True,
        core_nodes={name: address for name, address in addresses.items() if name != node},
    )
