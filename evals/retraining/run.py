"""From drift to a model in force and back, on real nodes: a leader that changes brings each step, and minutes the rest.

What takes days is written into the histories before; what happens then is what a cluster does: the next leader sees in
its history that errors have grown, starts the trainer's process, and the contest's ruling goes through the gate.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, cast

import anyio

from evals.forge.errors import ForgeFault
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project
from evals.retraining.errors import RetrainingPromiseBroken
from evals.retraining.kept import keeps
from evals.retraining.loads import calm, plant, unlearnt
from evals.retraining.report import RetrainingReport
from runtime.clock import SystemClock

SLICE: Final = "tea"
SOURCE: Final = f'''
from runtime.sdk import get, slice_

@slice_(name="{SLICE}", version="1.0.0")
class Tea:
    """There to be forecast; nobody calls it."""

    @get("/tea")
    async def cup(self) -> str:
        return "green"
'''
GAP: Final = 180  # minutes that nobody measured when the model learnt, and that a peer tells of later
PLANTED_S: Final = 30.0
TRAINED_S: Final = 120.0  # at the lowest priority, on a busy machine
TAKEN_S: Final = 90.0  # a minute begins within one
LOOK_S: Final = 0.5
SAID_AFTER: Final = 2  # minutes that are waited for after the change

Row = dict[str, object]
Progress = Callable[[str], None]


async def retraining_campaign(*, seed: int, nodes: int = 3, progress: Progress = lambda line: None) -> RetrainingReport:
    """Each on a fresh cluster; ends with the first broken promise."""
    report = RetrainingReport(seed=seed)
    plays = (
        ("a model that does worse goes back", goes_back),
        ("a model changes", changes),
        ("what an instance carries is kept", keeps),
    )
    for what, play in plays:
        progress(what)
        try:
            async with rehearsed(nodes) as forge:
                await play(forge, report)
        except ForgeFault as fault:
            report.failure = f"{what}: {type(fault).__name__}: {fault}"
            break
    return report


@asynccontextmanager
async def rehearsed(nodes: int) -> AsyncIterator[Forge]:
    """A cluster without the slice: figures of its own would be written over what is planted."""
    with tempfile.TemporaryDirectory(prefix="aether-retraining-") as directory:
        async with Forge(nodes=nodes, apps=[], state=Path(directory) / "forge") as forge:
            yield forge


async def goes_back(forge: Forge, report: RetrainingReport) -> None:
    """Drift trains a challenger, which is crowned; three hours later it is seen to do worse, and the one before is
    back. Raises ForgeFault."""
    rng = random.Random(report.seed)  # noqa: S311  repeatable, nothing secret
    learnt_until = this_minute() - GAP
    await crowned(forge, report, learnt_until, unlearnt(rng))
    last = this_minute() - 1
    await planted(forge, last, calm(rng, last - learnt_until))
    with timed(report, "from the leader's death until the model before is back"):
        leader = await led_anew(forge)
        status = await until_status(
            forge, leader, "the model before is back", lambda row: row["chosen"] == 0 and row["model"] == 0
        )
    report.why_back = str(status["why"])
    check("did worse" in report.why_back, f"the model went back, but the reason is {report.why_back!r}")


async def changes(forge: Forge, report: RetrainingReport) -> None:
    """A crowned challenger forecasts from the next minute on, and no minute and no look is without a forecast. Raises
    ForgeFault."""
    rng = random.Random(report.seed)  # noqa: S311  repeatable, nothing secret
    leader = await crowned(forge, report, this_minute() - 1, unlearnt(rng))
    minutes: dict[int, Row] = {}
    taken_at = 0
    with anyio.fail_after(TAKEN_S + SAID_AFTER * 60.0):
        while not taken_at or max(minutes) < taken_at + SAID_AFTER:
            row = await forecast(forge, leader)
            check(bool(row["ahead"]), "a look found no forecast while models changed")
            minutes |= {int(str(each["minute"])): each for each in cast(list[Row], row["past"])}
            report.looks += 1
            if not taken_at and (await status_of(forge, leader))["model"] == 1:
                taken_at = max(minutes)
            await anyio.sleep(LOOK_S)
    missing = set(range(min(minutes), max(minutes))) - minutes.keys()
    check(not missing, f"{len(missing)} minutes were never forecast")
    report.minutes_said = len(minutes)
    check((await status_of(forge, leader))["probation"] is True, "the new model is not on probation")


async def crowned(forge: Forge, report: RetrainingReport, last_minute: int, loads: list[float]) -> str:
    """The leader's name, once drift has trained a model that is chosen and on probation."""
    await planted(forge, last_minute, loads)
    with tempfile.TemporaryDirectory(prefix="aether-tea-") as directory:
        wish = SliceWish(name=SLICE, class_name="Tea", instances=1, most=1)
        await forge.deploy(write_project(Path(directory) / "tea", name=SLICE, source=SOURCE, slices=[wish]))
    with timed(report, "from the leader's death until a challenger is chosen"):
        leader = await led_anew(forge)
        await until_status(
            forge, leader, "a challenger is chosen", lambda row: row["chosen"] == 1 and bool(row["probation"])
        )
    (model,) = cast(dict[str, list[Row]], await forge.api.read("/v1/ttm/models"))["items"]
    check(model["ruling"] == "crowned", f"model 1 forecasts, and its contest ended {model['ruling']!r}")
    check(SLICE in str(model["cause"]), f"it was trained for {model['cause']!r}")
    report.causes.append(str(model["cause"]))
    report.losses.append(float(str(model["recent"])))
    check(report.losses[-1] < 1.0, "it was crowned with a greater loss")
    return leader


async def planted(forge: Forge, last_minute: int, loads: list[float]) -> None:
    """Beside the nodes' own processes: SQLite lets several, but not while one of them makes the file."""

    async def written() -> bool:
        try:
            await anyio.to_thread.run_sync(plant, forge, SLICE, last_minute, loads)
        except sqlite3.OperationalError:
            return False
        return True

    await forge.until("the histories are written", written, timeout_s=PLANTED_S)


async def led_anew(forge: Forge) -> str:
    """Kills the leader; gives the next one."""
    killed = await forge.until_leader()
    await forge.nodes[killed].kill()
    if len(forge.nodes) == 1:
        await forge.start_node(killed)
        return await forge.until_leader()
    leader = await forge.until_leader(other_than=killed)
    await forge.start_node(killed)
    return leader


async def until_status(forge: Forge, leader: str, what: str, holds: Callable[[Row], bool]) -> Row:
    found: Row = {}

    async def so() -> bool:
        found.update(await status_of(forge, leader))
        return holds(found)

    await forge.until(what, so, timeout_s=TRAINED_S)
    return found


async def status_of(forge: Forge, node: str) -> Row:
    return cast(Row, await forge.api.read("/v1/ttm", node=node))


async def forecast(forge: Forge, leader: str) -> Row:
    page = cast(Row, await forge.api.read(f"/v1/controller/forecast?slice={SLICE}", node=leader))
    check(page["leader"] == leader, f"{leader} leads no more")
    (row,) = cast(list[Row], page["items"])
    return row


def this_minute() -> int:
    """Since 1970."""
    return SystemClock().unix_ms() // 60_000


def check(holds: bool, otherwise: str) -> None:
    """Raises RetrainingPromiseBroken."""
    if not holds:
        raise RetrainingPromiseBroken(otherwise)


@contextmanager
def timed(report: RetrainingReport, what: str) -> Iterator[None]:
    clock = SystemClock()
    began_s = clock.monotonic_s()
    yield
    report.took_s[what] = max(report.took_s.get(what, 0.0), clock.monotonic_s() - began_s)
