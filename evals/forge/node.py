"""One node of a Forge: its directory, its addresses, its supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process

from evals.forge.commands import run_command, start_command
from evals.forge.errors import ApiUnreachable, CommandFailed, NodeEnded, NotReached
from evals.forge.http_client import HttpClient
from evals.forge.processes import NodeProcess, ended, family, processes_of, send
from evals.forge.waiting import came_true
from runtime.cluster.identity import Listen, read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.state.values import Addresses

STOP_TIMEOUT_S: Final = 45.0  # the supervisor's stages take 26 s at most
LOOK_S: Final = 0.02


class ForgeNode:
    """Started by `aether node start`, with a pipe that ends it when Forge ends, however that happens."""

    def __init__(self, name: str, data: Path) -> None:
        self.name = name
        self.data = data
        self.paused = False
        self._process: Process | None = None
        self._lifeline: int | None = None

    @property
    def joined(self) -> bool:
        """Whether its directory stands: not yet, while it is being provided."""
        return NodeLayout(self.data).identity.exists()

    @property
    def listen(self) -> Listen:
        """What it binds. The node's directory must stand."""
        return read_identity(NodeLayout(self.data).identity).listen

    @property
    def addresses(self) -> Addresses:
        """As others reach it."""
        return addresses_of(self.listen)

    @property
    def admin_key_file(self) -> Path:
        return NodeLayout(self.data).admin_key

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The supervisor's; 0 while the node does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self, *options: str) -> None:
        """Returns once the command runs; `await_directory` and `answers` say how far it has come."""
        assert not self.running
        reading, writing = os.pipe()
        output = self.data.parent / f"{self.name}.out"
        try:
            words = ("node", "start", "--data", str(self.data), "--lifeline-fd", str(reading), *options)
            self._process = await start_command(*words, output=output, lifeline=reading)
        finally:
            os.close(reading)
        self._drop_lifeline()
        self._lifeline = writing
        self.paused = False

    async def await_directory(self, *, timeout_s: float) -> None:
        """Until the node's directory stands, which a joining node makes itself."""
        await self._await(self._has_directory, "has not joined", timeout_s)

    async def answers(self, *, timeout_s: float) -> None:
        """Until the gateway and the API take requests."""
        for address in (self.addresses.http, self.addresses.api):
            await self._await(partial(_is_live, HttpClient(address)), f"does not answer on {address}", timeout_s)

    async def processes(self) -> tuple[NodeProcess, ...]:
        return await processes_of(self.data)

    async def kill(self) -> None:
        """Every process of the node at once, as when the machine loses power."""
        if self._process is None or not self.running:
            return
        pids = await anyio.to_thread.run_sync(family, self._process.pid)  # load goes on meanwhile
        send(pids, signal.SIGKILL)
        await self._process.wait()
        await ended(pids, timeout_s=5.0)
        self._drop_lifeline()

    def pause(self) -> None:
        """Stops every process; connections stay open and nobody answers."""
        if self.running:
            send(family(self.pid), signal.SIGSTOP)
            self.paused = True

    def resume(self) -> None:
        if self.running:
            send(family(self.pid), signal.SIGCONT)
            self.paused = False

    async def stop(self, *, drain: bool) -> None:
        """By `aether node stop`; with `drain` its instances are moved away first."""
        if self._process is None or not self.running:
            return
        if self.paused:
            self.resume()
        pids = family(self._process.pid)
        try:
            await run_command(
                "node", "stop", "--data", str(self.data), *(() if drain else ("--now",)), timeout_s=STOP_TIMEOUT_S
            )
        except CommandFailed:
            send(pids, signal.SIGKILL)
        self._drop_lifeline()
        await self._process.wait()
        await ended(pids, timeout_s=5.0)

    async def end(self, *, grace_s: float) -> tuple[int, ...]:
        """Closes the lifeline; what still runs after the grace is killed. Returns what even that did not end."""
        if self._process is None:
            return ()
        pids = family(self._process.pid) if self.running else ()
        if self.paused:
            send(pids, signal.SIGCONT)
        self._drop_lifeline()
        left = await ended(pids, timeout_s=grace_s)
        send(left, signal.SIGKILL)
        await self._process.wait()
        return await ended(left, timeout_s=5.0)

    def kill_now(self) -> None:
        """The last resort of a Forge whose own end may not wait."""
        if self.running:
            send(family(self.pid), signal.SIGKILL)
        self._drop_lifeline()

    async def _has_directory(self) -> bool:
        return (self.data / "node.json").exists()

    async def _await(self, condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float) -> None:
        async def running_and_so() -> bool:
            self._check_runs()
            return await condition()

        if not await came_true(running_and_so, timeout_s=timeout_s, look_s=LOOK_S):
            raise NotReached(f"{self.name} {what} after {timeout_s:g} s: {self.last_words()}")

    def _check_runs(self) -> None:
        if not self.running:
            raise NodeEnded(f"node {self.name} ended while it was starting: {self.last_words()}")

    def last_words(self) -> str:
        output = self.data.parent / f"{self.name}.out"
        lines = output.read_text(errors="replace").strip().splitlines() if output.exists() else []
        return " ".join(line.strip() for line in lines[-2:]) or "it said nothing"

    def _drop_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


async def _is_live(client: HttpClient) -> bool:
    try:
        return (await client.request("GET", "/health/live", timeout_s=2.0)).status == 200
    except ApiUnreachable:
        return False
