"""The store's benchmark: our members and etcd's side by side in interleaved rounds, then what only ours can show."""

from __future__ import annotations

import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from anyio.abc import Process

from evals.bench import store_loaded, store_single
from evals.bench.etcd_group import EtcdGroup, check_etcd
from evals.bench.peers import Peers
from evals.bench.store_group import StoreGroup
from evals.bench.store_load import KEYS
from evals.bench.store_runs import GROUPS, LOAD, Driven, Plan, Progress, drive
from runtime.errors import RuntimeFault

RUNS: Final = (("write", 1), ("write", 16), ("write", 128), ("read", 16))


class NothingToMeasure(RuntimeFault):
    code = "nothing_to_measure"
    remedy = f"Name one or more of {', '.join(GROUPS)}, and 3 or 5 nodes."


@dataclass(slots=True)
class Result:
    """Runs by (system, nodes, what, clients)."""

    runs: dict[tuple[str, int, str, int], list[Driven]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def typical(self, system: str, nodes: int, what: str, clients: int) -> tuple[float, float, float] | None:
        """Medians over the rounds: requests a second, p50 and p99 in ms."""
        found = self.runs.get((system, nodes, what, clients))
        if not found:
            return None
        return (
            median(each.rate for each in found),
            median(each.p50_us for each in found) / 1e3,
            median(each.p99_us for each in found) / 1e3,
        )

    def ratios(self) -> dict[str, float]:
        """Ours divided by theirs, on three nodes; `write1_p50` is a time, so less is better."""
        wanted = {
            "write1_p50_vs_etcd": ("write", 1, 1),
            "write16_vs_etcd": ("write", 16, 0),
            "write128_vs_etcd": ("write", 128, 0),
            "read_vs_etcd": ("read", 16, 0),
        }
        found = {}
        for name, (what, clients, at) in wanted.items():
            ours, theirs = (self.typical(system, 3, what, clients) for system in ("aether", "etcd"))
            if ours and theirs:
                found[name] = round(ours[at] / theirs[at], 3)
        return found

    def as_json(self) -> dict[str, object]:
        measured = dict(self.figures)
        for system, nodes, what, clients in self.runs:
            rate, p50_ms, p99_ms = self.typical(system, nodes, what, clients) or (0.0, 0.0, 0.0)
            name = f"{system}_{nodes}_{what}{clients}"
            measured |= {f"{name}_per_s": round(rate), f"{name}_p50_ms": round(p50_ms, 3)}
            measured[f"{name}_p99_ms"] = round(p99_ms, 3)
        return {"figures": measured, "ratios": self.ratios(), "notes": self.notes}


async def measure(plan: Plan, progress: Progress) -> Result:
    """Raises RuntimeFault when something cannot be measured."""
    if not plan.groups or not set(plan.groups) <= set(GROUPS) or not set(plan.sizes) <= {3, 5}:
        raise NothingToMeasure(f"{', '.join(plan.groups)} with {plan.sizes} nodes is no part of this benchmark")
    if plan.with_etcd and set(plan.groups) & {"rounds", "single"}:
        check_etcd()
    result, began = Result(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aether-bench-", dir=plan.directory) as temporary:
        base = Path(temporary)
        if "rounds" in plan.groups:
            for size in plan.sizes:
                await _rounds(result, plan, base / f"of-{size}", size, progress)
        if "single" in plan.groups:
            for system in systems(plan):
                group = make(system, base / f"single-{system}", 3)
                result.figures |= await store_single.measure(group, plan, progress)
        if "loaded" in plan.groups:
            result.figures |= await store_loaded.measure(base / "forge", plan, progress)
    result.figures["benchmark_s"] = round(time.monotonic() - began, 1)
    return result


def systems(plan: Plan) -> tuple[str, ...]:
    return ("aether", "etcd") if plan.with_etcd else ("aether",)


def make(system: str, base: Path, size: int) -> StoreGroup | EtcdGroup:
    return StoreGroup(base, size) if system == "aether" else EtcdGroup(base, size)


async def _rounds(result: Result, plan: Plan, base: Path, size: int, progress: Progress) -> None:
    """Both systems run all the time; in a round each is driven in turn."""
    async with AsyncExitStack() as stack:
        loads: dict[str, Process] = {}
        peers = Peers()
        for system in systems(plan):
            progress(f"starting {size} members of {system}")
            group = make(system, base / system, size)
            await stack.enter_async_context(group)
            if not loads:
                await stack.enter_async_context(peers)
            loads[system] = await peers.start(LOAD, *group.load_words(await group.leader()))
            await drive(loads[system], do="fill", count=KEYS)
        for number in range(plan.rounds):
            for what, clients in RUNS:
                for system, process in loads.items():
                    driven = await drive(process, do=what, clients=clients, seconds=plan.seconds)
                    result.runs.setdefault((system, size, what, clients), []).append(driven)
                    progress(
                        f"{size} nodes, round {number + 1}/{plan.rounds}  {system:<6} {what} x {clients:<3} "
                        f"{driven.rate:>7.0f} a second, p50 {driven.p50_us / 1e3:.2f} ms"
                    )


def table(result: Result) -> list[str]:
    """For people."""
    lines = [f"{'nodes':>5} {'what':<6} {'clients':>7}  {'system':<7} {'per second':>10} {'p50 ms':>8} {'p99 ms':>8}"]
    for system, nodes, what, clients in result.runs:
        rate, p50_ms, p99_ms = result.typical(system, nodes, what, clients) or (0.0, 0.0, 0.0)
        lines.append(f"{nodes:>5} {what:<6} {clients:>7}  {system:<7} {rate:>10.0f} {p50_ms:>8.2f} {p99_ms:>8.2f}")
    lines += [""] + [f"{name:<34} {value:>9.2f}" for name, value in result.ratios().items()]
    lines += [""] + [f"{name:<34} {value:>9}" for name, value in result.figures.items()]
    return [*lines, *result.notes]
