"""The figures that count on a full Forge at work: term changes over minutes, and writes' outage when leaders die."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskGroup

from evals.bench.peers import PeerFailed, Peers
from evals.bench.store_runs import LOAD, Driven, Plan, Progress, drive
from evals.forge.forge import Forge
from evals.forge.http_client import render
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.requests import scenario_for
from evals.forge.processes import send
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient

RPS: Final = 1_000.0
STREAMS: Final = 50
LOOK_S: Final = 10.0
SETTLE_S: Final = 3.0  # after the applications became active
RUN_S: Final = 4.0  # around each kill
PACE_S: Final = 0.005
AGAIN_S: Final = 0.2


async def measure(state: Path, plan: Plan, progress: Progress) -> dict[str, float]:
    """term_changes_loaded, failover_p50_ms, failover_p99_ms and what the load was."""
    progress("a Forge of three nodes with the examples")
    async with Forge(nodes=3, apps=list(plan.apps), state=state) as forge:
        load = LoadGenerator(forge.targets(), await scenario_for(forge, ()), Profile(rps=RPS))
        async with anyio.create_task_group() as tasks:
            streams = EventStreams(forge)
            streams.start(tasks)
            tasks.start_soon(load.run)
            await anyio.sleep(SETTLE_S)
            figures = await _terms(forge, plan, streams, progress)
            figures |= await _failovers(forge, plan, progress)
            load.stop()
            streams.stop()
        figures["loaded_requests_per_s"] = round(load.report.sent / max(1e-9, load.report.duration_s))
        figures["loaded_failed_share"] = round(load.report.failed_share, 6)
        figures["loaded_events"] = streams.events
    return figures


class EventStreams:
    """Clients of the API's events as server-sent events, spread over the nodes; a broken one connects again."""

    def __init__(self, forge: Forge) -> None:
        self._addresses = [node.addresses.api for node in forge.nodes.values()]
        self._key = forge.admin_key()
        self._scope = anyio.CancelScope()
        self.events = 0
        self.open = 0

    def start(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self._run)

    def stop(self) -> None:
        self._scope.cancel()

    async def _run(self) -> None:
        with self._scope:
            async with anyio.create_task_group() as tasks:
                for number in range(STREAMS):
                    tasks.start_soon(self._follow, self._addresses[number % len(self._addresses)])

    async def _follow(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        headers = [("accept", "text/event-stream"), ("authorization", f"Bearer {self._key}")]
        while True:
            try:
                async with await anyio.connect_tcp(host, int(port)) as connection:
                    await connection.send(render("GET", "/v1/events", address, headers=headers))
                    self.open += 1
                    try:
                        async for piece in connection:
                            self.events += piece.count(b"\nevent: ")
                    finally:
                        self.open -= 1
            except (OSError, anyio.BrokenResourceError):
                pass
            await anyio.sleep(AGAIN_S)


async def _terms(forge: Forge, plan: Plan, streams: EventStreams, progress: Progress) -> dict[str, float]:
    """How often the term changed while nothing was broken."""
    async with _Stores(forge) as stores:
        first = last = await stores.term()
        left_s = plan.loaded_s
        while left_s > 0:
            await anyio.sleep(min(LOOK_S, left_s))
            left_s -= LOOK_S
            last = await stores.term()
            progress(f"loaded: term {last}, {streams.open} event streams open, {max(0.0, left_s):.0f} s left")
    if streams.open < STREAMS:
        raise PeerFailed(f"only {streams.open} of {STREAMS} event streams are open")
    return {"term_changes_loaded": last - first, "loaded_s": plan.loaded_s}


class _Stores:
    """Clients of every node's own store."""

    def __init__(self, forge: Forge) -> None:
        layouts = [NodeLayout(node.data) for node in forge.nodes.values()]
        self._clients = [StoreClient.open(layout, read_identity(layout.identity)) for layout in layouts]

    async def __aenter__(self) -> _Stores:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        for client in self._clients:
            await client.close()

    async def term(self) -> int:
        return max([(await client.status()).term for client in self._clients])


async def _failovers(forge: Forge, plan: Plan, progress: Progress) -> dict[str, float]:
    outages_ms: list[float] = []
    async with Peers() as peers:
        loads = {name: await peers.start(LOAD, "--store", str(node.data)) for name, node in forge.nodes.items()}
        for number in range(plan.kills):
            leader = await forge.until_leader()
            victim = (await forge.processes(leader, "store"))[0]
            seen: list[Driven] = []

            async def watch(name: str, seen: list[Driven] = seen) -> None:
                wanted = {"do": "write", "clients": 1, "seconds": RUN_S, "pace_s": PACE_S, "patient": True}
                seen.append(await drive(loads[name], **wanted))

            async with anyio.create_task_group() as tasks:
                for name in forge.names:
                    if name != leader:
                        tasks.start_soon(watch, name)
                await anyio.sleep(random.uniform(0.5, 1.5))  # noqa: S311  anywhere between two heartbeats
                send((victim.pid,), signal.SIGKILL)
            outages_ms.append(max(each.gap_ms for each in seen))
            progress(f"loaded: kill {number + 1}/{plan.kills} of {leader}, no write for {outages_ms[-1]:.0f} ms")
            await forge.until_replaced(leader, victim)
            await forge.until_well()
    outages_ms.sort()
    return {
        "failover_p50_ms": round(percentile(outages_ms, 0.5), 1),
        "failover_p99_ms": round(percentile(outages_ms, 0.99), 1),
        "failover_max_ms": round(outages_ms[-1], 1) if outages_ms else 0.0,
        "failovers": len(outages_ms),
    }


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank, so of twenty the 99th is the worst."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
