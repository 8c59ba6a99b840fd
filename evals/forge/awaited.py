"""What one waits for in a cluster: a leader, ready nodes, instances, nothing amiss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import anyio

from evals.forge.app import App
from evals.forge.cluster_api import ClusterApi
from evals.forge.errors import ForgeFault, NotReached
from evals.forge.http_client import HttpClient
from evals.forge.node import ForgeNode
from evals.forge.processes import NodeProcess
from evals.forge.settling import standing, unsettled
from evals.forge.waiting import came_true

READY_TIMEOUT_S: Final = 30.0
ACTIVE_TIMEOUT_S: Final = 60.0  # environments with pins may have to be made
WELL_S: Final = 1.0
LOOK_S: Final = 0.05


class Awaited:
    """A cluster whose conditions can be awaited. Every wait has its limit, and says what was not so."""

    def __init__(self, apps: Sequence[App], api: ClusterApi) -> None:
        self.apps = tuple(apps)
        self.nodes: dict[str, ForgeNode] = {}
        self.api = api

    def running(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.running and not node.paused]

    async def processes(self, node: str, kind: str) -> list[NodeProcess]:
        """Those of one kind, as its supervisor lists them."""
        return [process for process in await self.nodes[node].processes() if process.kind == kind]

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], *, timeout_s: float) -> None:
        """Raises NotReached, saying what was waited for."""
        if not await came_true(partial(_holds, holds), timeout_s=timeout_s, look_s=LOOK_S):
            raise NotReached(f"{what}: not so after {timeout_s:g} s")

    async def until_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until every running node is a live member with a ready gateway and somebody leads."""

        async def ready() -> bool:
            running = self.running()
            live = {row.node for row in await self.api.nodes() if row.live}
            if not live.issuperset(running) or not await self.api.leader():
                return False
            return all([await _is_ready(address) for name in running for address in self._public(name)])

        await self.until("every running node is live and ready", ready, timeout_s=timeout_s)

    async def until_well(self, *, timeout_s: float = ACTIVE_TIMEOUT_S) -> None:
        """Until all is ready and active, and still is a moment later: what just broke may not have been noticed."""

        async def lasting() -> bool:
            await self.until_ready(timeout_s=timeout_s)
            await self.until_apps_active(timeout_s=timeout_s)
            await anyio.sleep(WELL_S)
            return not await unsettled(self.api, self._app_slices())

        await self.until("all is well and stays so", lasting, timeout_s=timeout_s)

    async def until_replaced(self, node: str, victim: NodeProcess, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until another process does what a killed one did."""

        async def replaced() -> bool:
            running = await self.processes(node, victim.kind)
            return bool(running) and all(process.pid != victim.pid for process in running)

        await self.until(f"{victim.id} of {node} is replaced", replaced, timeout_s=timeout_s)

    async def until_active(self, slice_name: str, instances: int, *, timeout_s: float = ACTIVE_TIMEOUT_S) -> None:
        """Until exactly that many instances are ACTIVE."""

        async def active() -> bool:
            rows = [row for row in await self.api.instances() if row.slice == slice_name]
            return len(rows) == instances == sum(row.serving for row in rows)

        try:
            await self.until(f"{slice_name} has {instances} active instances", active, timeout_s=timeout_s)
        except NotReached as error:
            raise NotReached(f"{error}; {await standing(self.api, slice_name)}") from error

    async def until_apps_active(self, *, timeout_s: float = ACTIVE_TIMEOUT_S) -> None:
        await self._until_settled(self._app_slices(), timeout_s)

    async def _until_settled(self, slices: Sequence[str], timeout_s: float = ACTIVE_TIMEOUT_S) -> None:
        """Until each has the instances that it should have by now, all of them ACTIVE."""
        left: list[str] = []

        async def settled() -> bool:
            left[:] = await unsettled(self.api, slices)
            return not left

        try:
            await self.until("all slices have their instances", settled, timeout_s=timeout_s)
        except NotReached as error:
            told = [f"{name}: {await standing(self.api, name)}" for name in left]
            raise NotReached(f"{error}; {'. '.join(told)}") from error

    def _app_slices(self) -> list[str]:
        return [name for app in self.apps for name, _ in app.slices]

    async def until_leader(self, *, other_than: str = "", timeout_s: float = READY_TIMEOUT_S) -> str:
        """The leader's name, once a running node leads."""
        found = ""

        async def led() -> bool:
            nonlocal found
            found = await self.api.leader()
            return bool(found) and found != other_than and found in self.running()

        await self.until("a running node leads", led, timeout_s=timeout_s)
        return found

    def _public(self, name: str) -> tuple[str, str]:
        addresses = self.nodes[name].addresses
        return addresses.http, addresses.api


async def _is_ready(address: str) -> bool:
    return (await HttpClient(address).request("GET", "/health/ready", timeout_s=2.0)).status == 200


async def _holds(condition: Callable[[], Awaitable[bool]]) -> bool:
    """A node that cannot be asked just now does not meet it."""
    try:
        return await condition()
    except (ForgeFault, asyncio.IncompleteReadError):
        return False
