"""The benchmark of the control API: reads and changes of a real node beside bare FastAPI answering the same JSON."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import anyio

from evals.bench.api_fanout import fan_out
from evals.bench.api_gate import gate_us
from evals.bench.api_load import Asked, Loop
from evals.bench.api_state import INSTANCES, LISTED, SCALED, fill
from evals.bench.peers import Peers
from evals.bench.store_group import free_ports
from evals.forge.forge import Forge
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.telemetry.histogram import Histogram

Progress = Callable[[str], None]
RATIO: Final = "read_vs_fastapi"
READS: Final = ("slices", "instances")
BUSY_S: Final = 0.02  # between two changes that somebody else makes, while reads are measured with nothing kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """seconds: of each run; rounds: medians of so many; clients: of the fan-out."""

    seconds: float = 3.0
    rounds: int = 5
    clients: int = 500
    events: int = 20


@dataclass(slots=True)
class Result:
    """Histograms (µs) of each round by (what, system)."""

    runs: dict[tuple[str, str], list[Histogram]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def typical(self, what: str, system: str) -> tuple[float, float] | None:
        """Medians over the rounds of p50 and p99, in µs."""
        found = self.runs.get((what, system))
        if not found:
            return None
        return median(each.percentile(0.5) for each in found), median(each.percentile(0.99) for each in found)

    def ratios(self) -> dict[str, float]:
        """Ours divided by theirs, of p50: less is better. `read_vs_fastapi` is the worst of the reads."""
        found = {}
        for what in dict.fromkeys(what for what, _ in self.runs):
            ours, theirs = self.typical(what, "aether"), self.typical(what, "fastapi")
            if ours and theirs:
                found[f"{what}_vs_fastapi"] = round(ours[0] / theirs[0], 3)
        reads = [ratio for name, ratio in found.items() if name.startswith(READS)]
        return {RATIO: max(reads), **found} if reads else found

    def as_json(self) -> dict[str, object]:
        measured = dict(self.figures)
        for what, system in self.runs:
            p50, p99 = self.typical(what, system) or (0.0, 0.0)
            measured |= {f"{system}_{what}_p50_us": p50, f"{system}_{what}_p99_us": p99}
        return {"figures": measured, "ratios": self.ratios()}


async def measure(plan: Plan, progress: Progress) -> Result:
    """Raises RuntimeFault when something cannot be measured."""
    result, began = Result(), time.monotonic()
    progress("the gate's decision, alone")
    result.figures["gate_us_p50"], result.figures["gate_us_p99"] = gate_us()
    with tempfile.TemporaryDirectory(prefix="aether-bench-") as temporary:
        base = Path(temporary)
        async with Forge(nodes=1, apps=[], state=base / "node") as forge, Peers() as peers:
            progress(f"a node that knows of {INSTANCES} instances")
            await _let_ask_often(forge)
            await _fill(forge)
            asked = _requests(forge)
            address = forge.nodes["n1"].addresses.api
            other = await _start_other(peers, base, address, asked)
            await _rounds(result, plan, address, other, asked, progress)
            await _while_busy(result, plan, address, asked, progress)
            progress(f"{plan.clients} clients of the events")
            headers = list(asked["change"].headers)
            result.figures |= await fan_out(address, headers, asked["change"], plan.clients, plan.events)
    changed = result.typical("change", "aether")
    if changed:
        result.figures |= {"change_ms_p50": round(changed[0] / 1e3, 3), "change_ms_p99": round(changed[1] / 1e3, 3)}
    result.figures["benchmark_s"] = round(time.monotonic() - began, 1)
    return result


async def _let_ask_often(forge: Forge) -> None:
    """Raises the rate of a principal, and begins control anew, which reads it at its start."""
    (forge.state.node("n1") / "config.toml").write_text("api_requests_per_s_max = 100000\n")
    (control,) = await forge.processes("n1", "control")
    os.kill(control.pid, signal.SIGTERM)

    async def anew() -> bool:
        return [each.pid for each in await forge.processes("n1", "control") if each.pid] not in ([], [control.pid])

    await forge.until("control runs anew", anew, timeout_s=20.0)
    await forge.until_ready()


async def _fill(forge: Forge) -> None:
    layout = NodeLayout(forge.state.node("n1"))
    store = StoreClient.open(layout, read_identity(layout.identity))
    try:
        await fill(store)
    finally:
        await store.close()

    async def known() -> bool:
        rows = await forge.api.read("/v1/slices")
        return isinstance(rows, dict) and any(row["serving"] == INSTANCES for row in rows["slices"])

    await forge.until(f"{INSTANCES} instances of {LISTED} are known", known, timeout_s=20.0)


def _requests(forge: Forge) -> dict[str, Asked]:
    headers = [("authorization", f"Bearer {forge.admin_key()}")]
    scale = f"/v1/slices/{SCALED}/scale"

    def wanted(number: int) -> bytes:
        return json.dumps({"instances": 10 + number % 2}).encode()  # steps that nobody else need approve

    return {
        "slices": Asked("GET", "/v1/slices", headers=headers),
        "instances": Asked("GET", f"/v1/instances?limit={INSTANCES}", headers=headers),
        "dry_run": Asked("PUT", scale + "?dry_run=true", lambda _: b'{"instances": 9}', headers),
        "change": Asked("PUT", scale, wanted, headers),
    }


async def _start_other(peers: Peers, base: Path, address: str, asked: dict[str, Asked]) -> str:
    """The same documents, answered by bare FastAPI. Its address."""
    files = []
    for what, request in asked.items():
        loop = Loop(address, request)
        path = base / f"{what}.json"
        path.write_bytes(await loop.once())
        loop.close()
        files.append(str(path))
    other = f"127.0.0.1:{free_ports(1)[0]}"
    await peers.start("evals.bench.fastapi_same", "--listen", other, *files)
    return other


async def _rounds(
    result: Result, plan: Plan, address: str, other: str, asked: dict[str, Asked], progress: Progress
) -> None:
    """In a round each is driven in turn, both systems one after the other."""
    for number in range(plan.rounds):
        for what, request in asked.items():
            theirs = Asked(request.method, f"/{what}", request.body)
            for system, where, sent in (("aether", address, request), ("fastapi", other, theirs)):
                found = await _run(where, sent, plan.seconds)
                result.runs.setdefault((what, system), []).append(found)
                progress(
                    f"round {number + 1}/{plan.rounds}  {system:<8} {what:<10} p50 {found.percentile(0.5):>6} us"
                    f"  p99 {found.percentile(0.99):>6} us"
                )


async def _run(address: str, request: Asked, seconds: float) -> Histogram:
    loop = Loop(address, request)
    try:
        return await loop.run(seconds)
    finally:
        loop.close()


async def _while_busy(result: Result, plan: Plan, address: str, asked: dict[str, Asked], progress: Progress) -> None:
    """The reads once more while the state changes, so that no answer can be told twice."""
    changes = Loop(address, asked["change"])

    async def change() -> None:
        while True:
            await changes.once()
            await anyio.sleep(BUSY_S)

    for what in READS:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            found = await _run(address, asked[what], plan.seconds)
            tasks.cancel_scope.cancel()
        changes.close()
        p50, p99 = found.percentile(0.5), found.percentile(0.99)
        result.figures |= {f"{what}_busy_p50_us": p50, f"{what}_busy_p99_us": p99}
        progress(f"{what} while the state changes: p50 {p50} us, p99 {p99} us")


def table(result: Result) -> list[str]:
    """For people."""
    lines = [f"{'what':<12} {'system':<8} {'p50 us':>8} {'p99 us':>8}"]
    for what, system in result.runs:
        p50, p99 = result.typical(what, system) or (0.0, 0.0)
        lines.append(f"{what:<12} {system:<8} {p50:>8.0f} {p99:>8.0f}")
    lines += [""] + [f"{name:<26} {value:>9.2f}" for name, value in result.ratios().items()]
    return [*lines, "", *(f"{name:<26} {value:>9}" for name, value in result.figures.items())]
