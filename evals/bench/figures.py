"""Figures of nodes at rest and of starts, measured on real nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import anyio

from evals.bench.order import BODY
from evals.bench.ours import projects
from evals.bench.peers import PeerFailed, pss_mb
from evals.bench.rows import PATH
from evals.forge.errors import ApiUnreachable
from evals.forge.forge import Forge
from evals.forge.processes import family
from evals.forge.waiting import came_true
from evals.retraining.loads import plant
from runtime.clock import SystemClock

ORDERS: Final = "bench-orders"
SETTLE_S: Final = 5.0  # what starting up borrowed is given back by then
LOOK_S: Final = 0.002
STARTS: Final = 5
MINUTE_S: Final = 60.0
ROOM_S: Final = 25.0  # from the start of a node until its memory has been looked at
FORECAST_S: Final = 8.0  # behind a minute, until its forecast has been made and what that borrowed is given back
KNOWN_MINUTES: Final = 60  # of load that the node is given, so that there is something to forecast
PEAK_LOOK_S: Final = 0.02

Progress = Callable[[str], None]


async def node_figures(directory: Path, progress: Progress) -> dict[str, float]:
    """node_pss_mb, instance_start_ms and first_answer_s, of one core node with one worker; the first before the leader
    makes its first forecast, forecasting_node_pss_mb behind one, forecast_peak_pss_mb the most while it was made."""
    orders, _ = projects(directory)
    await _until_minute_has(ROOM_S)
    state = directory / "one-node"
    async with Forge(nodes=1, apps=[orders], state=state) as forge:
        progress("one node with one worker, at rest")
        await anyio.sleep(SETTLE_S)
        pids = family(forge.nodes["n1"].pid)
        parts = {process.kind: pss_mb([process.pid]) for process in await forge.nodes["n1"].processes()}
        total = pss_mb(pids)
        progress("further instances: " + ", ".join(f"{kind} {size:.0f} MB" for kind, size in parts.items()))
        starts = [await _instance_start_s(forge, count + 1) for count in range(1, STARTS + 1)]
        await forge.api.scale(ORDERS, 1)
        await forge.until_active(ORDERS, 1)
        progress("a node from its start to its first answer")
        answers = [await _first_answer_s(forge) for _ in range(3)]
        progress("the same node once it forecasts")
        peak = await _forecast_peak_mb(forge)
        forecasting = pss_mb(family(forge.nodes["n1"].pid))
    return {
        "node_pss_mb": round(total, 1),
        "forecasting_node_pss_mb": round(forecasting, 1),
        "forecast_peak_pss_mb": round(peak, 1),
        "instance_start_ms": round(median(starts) * 1000, 1),
        "first_answer_s": round(median(answers), 2),
        **{f"{kind}_pss_mb": round(size, 1) for kind, size in parts.items()},
    }


async def _forecast_peak_mb(forge: Forge) -> float:
    """The most that the node takes from now until a forecast of a load that it knows has been made."""
    plant(forge, ORDERS, int(SystemClock().unix_ms() / 1000 // MINUTE_S) - 1, [600.0] * KNOWN_MINUTES)
    peak = 0.0
    with anyio.move_on_after(MINUTE_S - _of_minute_s() + FORECAST_S):
        while True:
            peak = max(peak, pss_mb(family(forge.nodes["n1"].pid)))
            await anyio.sleep(PEAK_LOOK_S)
    if not await forge.api.forecasts():
        raise PeerFailed("the node made no forecast")
    return peak


def _of_minute_s() -> float:
    """How much of the present minute has passed."""
    return SystemClock().unix_ms() / 1000 % MINUTE_S


async def _until_minute_has(left_s: float) -> None:
    """Forecasts are made as minutes end."""
    left = MINUTE_S - _of_minute_s()
    if left < left_s:
        await anyio.sleep(left)


async def forge_ready_s(directory: Path, apps: list[Path], progress: Progress) -> float:
    """From nothing to three nodes on which every slice of the applications is active."""
    progress("a Forge of three nodes with both examples")
    began = time.perf_counter()
    async with Forge(nodes=3, apps=apps, state=directory / "three-nodes"):
        return round(time.perf_counter() - began, 2)


async def _instance_start_s(forge: Forge, count: int) -> float:
    """From the answer to the wish for one more, which is the decision, to its being ACTIVE as the API shows it."""
    await forge.api.scale(ORDERS, count)
    began = time.perf_counter()

    async def active() -> bool:
        rows = await forge.api.instances()
        return sum(row.serving for row in rows if row.slice == ORDERS) == count

    await came_true(active, timeout_s=10.0, look_s=LOOK_S)
    return time.perf_counter() - began


async def _first_answer_s(forge: Forge) -> float:
    """A node that knows its application is started; its first answered request ends the count."""
    node = forge.nodes["n1"]
    await node.stop(drain=False)
    began = time.perf_counter()
    await node.start()
    await came_true(partial(_answered, forge), timeout_s=30.0, look_s=LOOK_S)
    return time.perf_counter() - began


async def _answered(forge: Forge) -> bool:
    try:
        return (await forge.http("n1").request("POST", PATH, BODY, timeout_s=1.0)).status == 200
    except ApiUnreachable:
        return False
