"""One system by itself: memory, the pause of a snapshot, catching up, failover. Each with a hundred thousand keys."""

from __future__ import annotations

import random
import time
from functools import partial
from statistics import median
from typing import Final

import anyio
from anyio.abc import Process

from evals.bench.etcd_group import EtcdGroup
from evals.bench.peers import Peers, pss_mb
from evals.bench.store_group import StoreGroup
from evals.bench.store_runs import LOAD, Driven, Plan, Progress, drive, settle

SNAPSHOTS: Final = 3
SNAPSHOT_RUN_S: Final = 3.0
SNAPSHOT_AFTER_S: Final = 0.5
WRITERS: Final = 16
FAILOVERS_MAX: Final = 5  # of stores alone; the figure that counts is taken on a full Forge
FAILOVER_RUN_S: Final = 5.0
PACE_S: Final = 0.005


async def measure(group: StoreGroup | EtcdGroup, plan: Plan, progress: Progress) -> dict[str, float]:
    """Figures by name, each with the system's."""
    system = group.name
    async with group, Peers() as peers:
        leader = await group.leader()
        load = await peers.start(LOAD, *group.load_words(leader))
        before_mb = pss_mb([group.pid(leader)])
        progress(f"{system}: writing {plan.keys} keys")
        await drive(load, do="fill", count=plan.keys)
        figures = {"mb_per_100k_keys": round((pss_mb([group.pid(leader)]) - before_mb) * 100_000 / plan.keys, 1)}
        figures |= await _snapshots(group, load, progress)
        figures |= await _catch_up(group, load, plan, progress)
        figures |= await _failovers(group, min(plan.kills, FAILOVERS_MAX), progress)
    prefix = "" if system == "aether" else f"{system}_"
    return {f"{prefix}{name}": value for name, value in figures.items()}


async def _snapshots(group: StoreGroup | EtcdGroup, load: Process, progress: Progress) -> dict[str, float]:
    """The longest time without an acknowledgement to any of sixteen writers, with a snapshot and without."""
    leader = await group.leader()
    without, with_one = [], []
    for number in range(SNAPSHOTS):
        without.append((await drive(load, do="write", clients=WRITERS, seconds=SNAPSHOT_RUN_S)).gap_ms)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(_snapshot_soon, group, leader, number))
            with_one.append((await drive(load, do="write", clients=WRITERS, seconds=SNAPSHOT_RUN_S)).gap_ms)
        progress(f"{group.name}: longest pause {with_one[-1]:.0f} ms with a snapshot, {without[-1]:.0f} ms without")
    return {"snapshot_pause_ms": round(median(with_one), 1), "no_snapshot_pause_ms": round(median(without), 1)}


async def _snapshot_soon(group: StoreGroup | EtcdGroup, leader: str, number: int) -> None:
    await anyio.sleep(SNAPSHOT_AFTER_S)
    await group.snapshot(leader, group.base / f"copy-{number}")


async def _catch_up(group: StoreGroup | EtcdGroup, load: Process, plan: Plan, progress: Progress) -> dict[str, float]:
    """A member that was down for as many changes, from its start until it has applied them all."""
    leader = await group.leader()
    away = next(node for node in group.nodes if node != leader)
    group.kill(away)
    await drive(load, do="fill", count=plan.keys)
    began = time.monotonic()
    group.start(away)
    await settle(group)
    took_s = time.monotonic() - began
    progress(f"{group.name}: {plan.keys} entries caught up in {took_s:.1f} s")
    return {"catch_up_s": round(took_s, 2)}


async def _failovers(group: StoreGroup | EtcdGroup, kills: int, progress: Progress) -> dict[str, float]:
    """The longest time without an acknowledgement around each kill, seen by clients of the members that live on."""
    outages_ms: list[float] = []
    for number in range(kills):
        leader = await group.leader()
        survivors = [node for node in group.nodes if node != leader]
        async with Peers() as peers:
            load = await peers.start(LOAD, *group.load_words(*survivors))
            seen: list[Driven] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(_drive_into, seen, load))
                await anyio.sleep(random.uniform(0.5, 1.5))  # noqa: S311  anywhere between two heartbeats
                group.kill(leader)
        outages_ms.append(seen[0].gap_ms)
        group.start(leader)
        await settle(group)
        progress(f"{group.name}: kill {number + 1}/{kills}, no write for {outages_ms[-1]:.0f} ms")
    return {
        "failover_alone_p50_ms": round(median(outages_ms), 1),
        "failover_alone_max_ms": round(max(outages_ms), 1),
    }


async def _drive_into(seen: list[Driven], load: Process) -> None:
    seen.append(await drive(load, do="write", clients=2, seconds=FAILOVER_RUN_S, pace_s=PACE_S, patient=True))
