"""The same load on three slices of one Forge at once: one is scaled by Aether, one by HPA's rule from outside, one not.

Side by side rather than one after the other, so that whatever the machine does hits all three alike.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import numpy as np

from controllers.context.history import FILE_NAME
from controllers.context.history_file import HistoryFile
from controllers.context.minute import MINUTE_S
from evals.forge.cluster_api import OVERRIDE
from evals.forge.errors import ApiRefused, ApiUnreachable
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.requests import JSON
from evals.forge.load.scenario import Mix, Request
from evals.forge.project import SliceWish, source_of, write_project
from evals.scaling.peers.hpa import Hpa
from evals.scaling.policy import Past, Seen
from evals.scaling.service import ServiceModel
from evals.scaling_run.account import LEARNT, Account, Forecasted, RunResult
from evals.scaling_run.load import DAY_MINUTES, LENGTH_S, RunLoad, earlier_days
from runtime.clock import SystemClock

NODES: Final = 3
LEAST, MOST, STATIC = 2, 12, 8  # static: HIGH_RPS at 70 % of the stated capacity
AT_ONCE: Final = 4  # as desks.py has it
HPA_TARGET: Final = 0.7
WARM_UP_S: Final = 45.0  # at the load's beginning, before the minute that the history speaks of
WAYS: Final = {LEARNT: "/desks/aether", "desk-hpa": "/desks/hpa", "desk-static": "/desks/static"}
START_MS: Final = 30_000
SETTLE_S: Final = 5.0  # between the history's writing and the run's earliest beginning
DESKS: Final = (
    (LEARNT, "AetherDesk", LEAST),
    ("desk-hpa", "HpaDesk", LEAST),
    ("desk-static", "StaticDesk", STATIC),
)
BODY: Final = json.dumps({"lines": [{"sku": "mug", "quantity": 2}, {"sku": "green-tea", "quantity": 1}]}).encode()

Progress = Callable[[str], None]


_PAST: Final = Past(
    service=ServiceModel(), minutes=np.zeros(1), season=DAY_MINUTES, seconds=np.zeros(1)
)  # it asks for none


async def measure(*, order_example: Path, seed: int = 1, progress: Progress = lambda line: None) -> RunResult:
    """About twelve minutes. Raises ForgeFault."""
    with tempfile.TemporaryDirectory(prefix="aether-scaling-run-") as temporary:
        project = desks_project(Path(temporary) / "project", order_example)
        async with Forge(nodes=NODES, apps=[project], progress=progress) as forge:
            await _configure(forge)
            first_minute = int(unix_s() + WARM_UP_S + SETTLE_S) // MINUTE_S + 1
            await _learn(forge, first_minute, seed)
            return await _Run(forge, first_minute, progress).measured()


def desks_project(directory: Path, order_example: Path) -> Path:
    """The order example's pricing, and three desks that ask it."""
    extra = f'start_timeout_ms = {START_MS}\nrequires = ["pricing"]'
    sources = (order_example / "src" / "order_domain").glob("*.py")
    desks = [
        SliceWish(name=name, class_name=of, instances=count, least=LEAST, most=MOST, extra=extra)
        for name, of, count in DESKS
    ]
    return write_project(
        directory,
        name="order-domain",
        source=source_of("evals.scaling_run.desks"),
        slices=[SliceWish(name="pricing", class_name="Pricing", instances=2), *desks],
        files={f"src/order_domain/{each.name}": each.read_text() for each in sources},
    )


async def _configure(forge: Forge) -> None:
    """Aether scales one of them alone."""
    for scope in ({"set": {"enabled": False}}, {"slice": LEARNT, "set": {"enabled": True}}):
        await forge.api.change("PUT", f"/v1/controller/config?{OVERRIDE}", json.dumps(scope).encode())


async def _learn(forge: Forge, first_minute: int, seed: int) -> None:
    """Puts earlier days into the history of every core node, as it keeps them itself."""
    days = list(earlier_days(LEARNT, first_minute, seed))
    until = int(unix_s()) // MINUTE_S

    def write() -> None:
        for node in forge.nodes.values():
            file = HistoryFile(node.data / "history" / FILE_NAME, days=14, bytes_max=1 << 28)
            file.append(each for each in days if each.minute < until)
            file.close()

    await anyio.to_thread.run_sync(write)


class _Run:
    def __init__(self, forge: Forge, first_minute: int, progress: Progress) -> None:
        self._forge = forge
        self._progress = progress
        self._begins_unix_s = first_minute * MINUTE_S
        self._first_minute = first_minute
        self._seconds = int(LENGTH_S)
        self._accounts = {name: Account(self._seconds) for name in WAYS}
        self._loads: dict[str, LoadGenerator] = {}
        self._serving: dict[str, tuple[int, int]] = {}

    async def measured(self) -> RunResult:
        self._load = RunLoad(spike=True, warm_up_s=WARM_UP_S)
        for name, path in WAYS.items():
            request = Request(name=name, method="POST", path=path, body=BODY, headers=JSON)
            load = self._loads[name] = LoadGenerator(self._forge.targets(), Mix((request,)), self._load)
            load.observers.append(partial(self._answered, self._accounts[name]))
        await anyio.sleep(max(0.0, self._begins_unix_s - WARM_UP_S - unix_s()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            tasks.start_soon(self._scale_as_hpa)
            async with anyio.create_task_group() as loads:
                for load in self._loads.values():
                    loads.start_soon(load.run, WARM_UP_S + LENGTH_S)
            tasks.cancel_scope.cancel()
        rates = [RunLoad(spike=True).rate(float(at)) for at in range(self._seconds)]
        for name, load in self._loads.items():
            self._progress(f"{name}: " + "; ".join(load.report.lines()[:8]))
        return RunResult(
            nodes=NODES,
            length_s=self._seconds,
            ways=[account.way(name, rates) for name, account in self._accounts.items()],
            forecast=await self._forecasts(),
        )

    def _answered(self, account: Account, _node: str, succeeded: bool, took_us: int) -> None:
        account.answer(self._now_s(), succeeded, took_us)

    def _now_s(self) -> float:
        return unix_s() - self._begins_unix_s

    async def _watch(self) -> None:
        """How many there are, each second."""
        while True:
            try:
                rows = await self._forge.api.instances()
            except (ApiRefused, ApiUnreachable):
                rows = []
            for name, account in self._accounts.items() if rows else ():
                mine = [row for row in rows if row.slice == name]
                self._serving[name] = (sum(row.serving for row in mine), len(mine))
                account.instances(int(self._now_s()), *self._serving[name])
            if int(self._now_s()) % 30 == 0:
                self._progress(f"{self._now_s():.0f} s: {self._serving}")
            await anyio.sleep(1.0 - unix_s() % 1.0)

    async def _scale_as_hpa(self) -> None:
        """Kubernetes' rule on how many of an instance's places are taken: what stands in for CPU, which nobody uses
        here. Tolerance, windows, delays and steps are those of evals/scaling/peers/hpa.py."""
        name, busy = "desk-hpa", np.zeros(self._seconds + 120)
        policy = Hpa(_PAST, target=HPA_TARGET)
        began = unix_s()
        while True:
            at = int(unix_s() - began)
            serving, current = self._serving.get(name, (LEAST, LEAST))
            in_flight = self._loads[name].in_flight
            busy[at] = min(1.0, in_flight / max(1, serving * AT_ONCE))
            seen = Seen(
                at_s=at,
                serving=serving,
                starting=current - serving,
                arrived=0.0,
                rate=0.0,
                backlog=0.0,
                latency_p95_s=0.0,
                utilisation=busy,
                concurrency=busy,
            )
            wanted = min(MOST, max(LEAST, policy.wanted(seen)))
            if wanted != current and current:
                await self._scale(name, wanted)
            await anyio.sleep(1.0 - (unix_s() - began) % 1.0)

    async def _scale(self, name: str, wanted: int) -> None:
        try:
            await self._forge.api.scale(name, wanted)
        except (ApiRefused, ApiUnreachable) as error:
            self._progress(f"{name} was not scaled to {wanted}: {error}")

    async def _forecasts(self) -> list[Forecasted]:
        leader = await self._forge.until_leader()
        page = await self._forge.api.read(f"/v1/controller/forecast?slice={LEARNT}", node=leader)
        assert isinstance(page, dict), "a page is an object"
        past = [each for row in page["items"] for each in row["past"]]
        return [
            Forecasted(
                at_s=float((each["minute"] - self._first_minute) * MINUTE_S),
                p10=each["p10"],
                p50=each["p50"],
                p90=each["p90"],
            )
            for each in past
            if 0 <= (each["minute"] - self._first_minute) * MINUTE_S < self._seconds
        ]


def unix_s() -> float:
    return SystemClock().unix_ms() / 1_000
