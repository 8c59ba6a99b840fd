"""The cluster that scenarios are played on: brought up once, broken and mended by name, and given back clean."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from evals.forge.chaos import Chaos
from evals.forge.cluster_api import OVERRIDE
from evals.forge.errors import ApiRefused, ChaosRefused
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.requests import parsed
from evals.forge.load.scenario import Mix
from evals.scenarios import shop
from evals.scenarios.people import People, gather
from evals.scenarios.sights import QUIET_S, Sights
from evals.scenarios.voices import EMBEDDED, Voice, speaking

USUAL_S: Final = 100.0  # a minute that does not count yet, and four values of ten seconds that tell what is usual
OBSERVED_S: Final = 60.0
CLEAN_S: Final = 150.0
SETTLE_S: Final = 65.0
LOOK_S: Final = 0.25

Progress = Callable[[str], None]


@dataclass(slots=True)
class _Rate:
    """Implements Shape: so many a second until told otherwise."""

    rps: float

    def rate(self, _at_s: float) -> float:
        return self.rps


@dataclass(slots=True, kw_only=True)
class Stage:
    """`names` stand for nodes in commands, conditions and expectations: {leader}, {follower}, {other}; {host}, which
    has an instance of the storefront."""

    forge: Forge
    people: People
    sights: Sights
    project: Path
    dials: shop.Dials
    chaos: Chaos
    rate: _Rate = field(default_factory=lambda: _Rate(shop.RPS))
    names: dict[str, str] = field(default_factory=dict)
    hurried: bool = False
    began_s: float = field(default_factory=time.monotonic)
    _surges: list[LoadGenerator] = field(default_factory=list)
    _hung: bool = False
    _broken: bool = False
    _changed_s: float = field(default_factory=time.monotonic)

    def named(self, text: str) -> str:
        for word, node in self.names.items():
            text = text.replace(f"{{{word}}}", node)
        return text

    async def cast(self) -> None:
        """Says which node is the leader, and which are not; a fault at the first node would take the key's file."""
        leader = await self.forge.until_leader()
        others = [each for each in self.forge.names if each != leader]
        hosts = {row.node for row in await self.forge.api.instances() if row.slice == "storefront"}
        host = next((each for each in [*others[::-1], leader] if each in hosts), leader)
        self.names = {"leader": leader, "follower": others[-1], "other": others[0], "host": host}

    async def usual(self) -> None:
        """Until enough load has gone by to know what is usual."""
        await anyio.sleep(max(0.0, self.began_s + USUAL_S - time.monotonic()))

    async def settled(self) -> None:
        """Until what was set back is too long ago to be taken for the cause of what is broken next."""
        if not self.hurried:
            await anyio.sleep(max(0.0, self._changed_s + SETTLE_S - time.monotonic()))

    async def do(self, command: str) -> str:
        """Raises ChaosRefused, and the errors of Forge."""
        self._broken = True
        verb, _, rest = self.named(command).strip().partition(" ")
        match verb:
            case "dial":
                return self.dials.turn(rest)
            case "release":
                await self.forge.api.apply(shop.BLUEPRINT, shop.released(self.project, self.dials.path, rest))
                return f"released {rest}"
            case "rate":
                self.rate.rps = float(rest)
                return f"{rest} visits a second"
            case "surge":
                return self._surge(rest)
            case "change":
                return await self._change(rest)
            case "hang" | "pause":
                self._hung = True
        return await self.chaos.do(self.named(command))

    def _surge(self, text: str) -> str:
        rps, _, request = text.partition(" ")
        generator = LoadGenerator(self.forge.targets(), Mix((parsed(request),)), _Rate(float(rps)))
        self._surges.append(generator)
        self.forge.in_background(generator.run)
        return f"{rps} a second {request}"

    async def _change(self, text: str) -> str:
        """As somebody with every right makes it: "PUT /v1/slices/ledger/scale {…}"."""
        request = parsed(text)
        glue = "&" if "?" in request.path else "?"
        await self.forge.api.change(request.method, f"{request.path}{glue}{OVERRIDE}", request.body)
        return request.name

    async def until(self, condition: str, *, timeout_s: float = OBSERVED_S) -> None:
        """Raises NotReached or ChaosRefused."""
        condition = self.named(condition)
        match condition.split():
            case ["for", seconds]:
                await anyio.sleep(float(seconds))
            case _:
                holds = self.sights.condition(condition)
                if holds is None:
                    await self.chaos.until(condition, timeout_s=timeout_s)
                    return
                await self.forge.until(condition, holds, timeout_s=timeout_s)

    # giving back

    async def reset(self) -> None:
        """Mends whatever there is, and looks whether all is as it was. Raises NotReached."""
        self.dials.clear()
        mended_s = time.monotonic()
        self.rate.rps = shop.RPS
        for each in self._surges:
            each.stop()
        self._surges.clear()
        with suppress(ChaosRefused):
            await self.chaos.do("heal")
        await self._wake()
        await self.forge.until_ready(timeout_s=CLEAN_S)
        await self.set_back()
        await self.forge.until_well(timeout_s=CLEAN_S)
        if self._broken:
            await self.forge.until("every figure is as usual again", self.sights.quiet, timeout_s=CLEAN_S)
            await anyio.sleep(
                max(0.0, mended_s + QUIET_S - time.monotonic())
            )  # what was slow counts as now for so long
        self._broken = False

    async def _wake(self) -> None:
        """What was paused, hung or killed."""
        for name, node in self.forge.nodes.items():
            if self._hung:
                node.resume()
            if not node.running:
                await self.forge.start_node(name)
        self._hung = False

    async def set_back(self) -> None:
        """What people, controllers or answers have changed of the cluster's state."""
        api = self.forge.api
        for method, path in await self.sights.left_behind():
            with suppress(ApiRefused):  # gone by itself since
                await api.change(method, f"{path}?{OVERRIDE}")
        for proposal in await self.sights.waiting():
            with suppress(ApiRefused):
                await api.change("POST", f"/v1/proposals/{proposal}/reject", b'{"reason": "the scenario is over"}')
        for app in self.forge.apps:
            if await self.sights.source(app.blueprint) != app.blueprint_toml.decode():
                await api.apply(app.blueprint, app.blueprint_toml)
                self._changed_s = time.monotonic()
            for slice_name, instances in app.slices:
                if await self.sights.wanted(slice_name) != instances:
                    await api.scale(slice_name, instances)
                    self._changed_s = time.monotonic()


@asynccontextmanager
async def staged(
    *,
    voice: Voice = EMBEDDED,
    apps: tuple[Path, ...] = (),
    state: Path | None = None,
    progress: Progress = lambda line: None,
) -> AsyncIterator[Stage]:
    """A cluster of three with the shop and `apps`, under load, that answers with that voice."""
    with TemporaryDirectory(prefix="aether-scenarios-") as temporary:
        project = shop_in(Path(temporary))
        async with (
            Forge(nodes=3, apps=[project, *apps], state=state, partitions=True, progress=progress) as forge,
            speaking(forge, voice),
            loaded(forge, project) as stage,
        ):
            yield stage


def shop_in(directory: Path) -> Path:
    """The shop's project; its dials lie beside it."""
    return shop.shop_project(directory / "shop", dials_of(directory / "shop"))


def dials_of(project: Path) -> Path:
    return project.parent / "dials.json"


@asynccontextmanager
async def loaded(forge: Forge, project: Path, *, hurried: bool = False) -> AsyncIterator[Stage]:
    """A stage on a Forge that serves the shop already; the load ends with it. hurried: nobody judges what is named as
    the cause, so that no fault waits until changes before it are too long ago for that."""
    dials = shop.Dials(dials_of(project))
    dials.clear()
    rate = _Rate(shop.RPS)
    generator = LoadGenerator(forge.targets(), shop.MIX, rate)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(generator.run)
        try:
            yield Stage(
                forge=forge,
                people=await gather(forge),
                sights=Sights(forge),
                project=project,
                dials=dials,
                chaos=Chaos(forge),
                rate=rate,
                hurried=hurried,
            )
        finally:
            generator.stop()
