"""A campaign: cycle after cycle on one real cluster, with kills at points that the seed chooses."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from evals.forge.errors import ForgeFault
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project
from evals.gatekeeping.cycle import POINTS, SLICE, Cluster, Cycle
from evals.gatekeeping.errors import GatePromiseBroken
from evals.gatekeeping.people import Person, Told
from evals.gatekeeping.report import GateReport

SOURCE: Final = f'''
from runtime.sdk import get, slice_

@slice_(name="{SLICE}", version="1.0.0")
class Steady:
    """Answers, so that it has figures."""

    @get("/steady")
    async def steady(self) -> str:
        return "steady"
'''

Progress = Callable[[str], None]


async def gate_campaign(
    *,
    seed: int,
    cycles: int,
    state: Path | None = None,
    progress: Progress = lambda line: None,
    enough: Callable[[], bool] = lambda: False,
) -> GateReport:
    """So many cycles, or until `enough`; ends with the first broken promise."""
    report = GateReport(seed=seed, cycles=cycles)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aether-gate-")))
        project = write_project(
            directory / "project",
            name=SLICE,
            source=SOURCE,
            slices=[SliceWish(name=SLICE, class_name="Steady", instances=2)],
        )
        forge = await stack.enter_async_context(Forge(nodes=3, apps=[project], state=state, progress=progress))
        cluster = await people(forge, seed, report)
        await run_cycles(cluster, points_of(seed, cycles), progress=progress, enough=enough)
    return report


async def run_cycles(
    cluster: Cluster,
    points: Sequence[str],
    *,
    progress: Progress = lambda line: None,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """On a Forge that runs; the report says what failed, if anything did."""
    report = cluster.report
    for number, point in enumerate(points, start=1):
        if enough():
            return
        rng = random.Random(f"{report.seed}/{number}")  # noqa: S311  repeatable, nothing secret
        try:
            await Cycle(cluster, number, point, rng).run()
        except ForgeFault as fault:
            report.failure = f"cycle {number}, killed while {point}: {type(fault).__name__}: {fault}"
            return
        finally:
            report.repeats = cluster.looking.told.repeats
        progress(f"cycle {number}: killed while {point}, at its end {report.taken_s[point][-1]:.1f} s later")


def points_of(seed: int, cycles: int) -> list[str]:
    """Every point equally often, in an order of the seed's."""
    return [point for point, _ in zip(_points(seed), range(cycles), strict=False)]


def _points(seed: int) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311  repeatable, nothing secret
    while True:
        yield from rng.sample(POINTS, len(POINTS))


async def people(forge: Forge, seed: int, report: GateReport) -> Cluster:
    """Made by the first admin. Raises GatePromiseBroken."""
    told = Told()

    def person(key: str, name: str) -> Person:
        rng = random.Random(f"{seed}/{name}")  # noqa: S311  repeatable, nothing secret
        return Person(key, lambda: [node.addresses.api for node in forge.nodes.values()], rng, told)

    admin = person(forge.admin_key(), "admin")
    keys: dict[str, str] = {}
    for name in ("anna", "ben"):
        await admin.ask("PUT", f"/v1/principals/{name}", {"kind": "person", "role": "operator"})
        made = await admin.ask("POST", f"/v1/principals/{name}/keys", {"name": "campaign", "lifetime_days": 30})
        result = made.get("result")
        if not isinstance(result, dict) or "key" not in result:
            raise GatePromiseBroken(f"no key was made for {name}: {made}")
        keys[name] = str(result["key"])
    return Cluster(
        forge=forge,
        asking=person(keys["anna"], "anna"),
        approving=person(keys["ben"], "ben"),
        looking=admin,
        report=report,
    )
