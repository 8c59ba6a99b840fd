"""What an instance carries, learnt under a real load, is known when the leader dies, and at a node that begins anew."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Final, cast

import anyio

from controllers.context.history import FILE_NAME
from controllers.context.history_file import HistoryFile
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.scenario import Mix, Request
from evals.forge.project import SliceWish, write_project
from evals.retraining.errors import RetrainingPromiseBroken
from evals.retraining.loads import MIB_256
from evals.retraining.report import RetrainingReport

SLICE: Final = "desk"
AT_ONCE: Final = 4
SERVICE_S: Final = 0.2
CARRIES: Final = AT_ONCE / SERVICE_S  # calls a second
LOAD: Final = 0.5 * CARRIES  # below a third of it a range is learnt, and no number
OFF_MAX: Final = 0.25  # of what is learnt within a minute or two beside other work of the machine
LEARNT_S: Final = 150.0  # it is written as a minute ends
KNOWN_S: Final = 30.0
SOURCE: Final = f'''
import asyncio

from runtime.sdk import get, slice_

@slice_(name="{SLICE}", version="1.0.0", concurrency_max={AT_ONCE})
class Desk:
    """Takes a few calls at once, which wait, as for a card terminal."""

    @get("/desk")
    async def take(self) -> str:
        await asyncio.sleep({SERVICE_S})
        return "taken"
'''


async def keeps(forge: Forge, report: RetrainingReport) -> None:
    """Nobody calls it any more when the leader is killed, so that what is known then was kept. Raises ForgeFault."""
    with tempfile.TemporaryDirectory(prefix="aether-desk-") as directory:
        wish = SliceWish(name=SLICE, class_name="Desk", instances=1, most=1)
        await forge.deploy(write_project(Path(directory) / "desk", name=SLICE, source=SOURCE, slices=[wish]))
    await _learnt_everywhere(forge)
    leader = await forge.until_leader()
    report.carries["leader that learnt it"] = await _carried(forge, leader)
    await forge.nodes[leader].kill()
    successor = await forge.until_leader(other_than=leader)
    report.carries["next leader"] = await _carried(forge, successor)
    await forge.start_node(leader)
    report.carries["node that begins anew"] = await _carried(forge, leader)
    off = max(abs(each / CARRIES - 1) for each in report.carries.values())
    if off > OFF_MAX:
        raise RetrainingPromiseBroken(
            f"of {CARRIES:g} calls a second that an instance carries, known is {report.carries}"
        )


async def _learnt_everywhere(forge: Forge) -> None:
    """Calls until every node has learnt it, and written it down after that."""
    load = LoadGenerator(forge.targets(), Mix((Request(name=SLICE, method="GET", path="/desk"),)), Profile(rps=LOAD))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load.run)
        await forge.until("every node has written what it learnt", lambda: _written(forge), timeout_s=LEARNT_S)
        load.stop()


async def _written(forge: Forge) -> bool:
    def look() -> bool:
        return all(_writes_down(node.data / "history" / FILE_NAME) for node in forge.nodes.values())

    try:
        return await anyio.to_thread.run_sync(look)
    except sqlite3.OperationalError:  # one of them makes the file
        return False


def _writes_down(path: Path) -> bool:
    file = HistoryFile(path, days=14, bytes_max=MIB_256)
    try:
        return SLICE in file.capacities()
    finally:
        file.close()


async def _carried(forge: Forge, node: str) -> float:
    """Calls a second of an instance, as soon as that node says it."""
    found = 0.0

    async def known() -> bool:
        nonlocal found
        page = cast(dict[str, list[dict[str, float]]], await forge.api.read(f"/v1/controller?slice={SLICE}", node=node))
        found = page["items"][0]["rate_per_instance"] if page["items"] else 0.0
        return found > 0

    await forge.until(f"{node} says what an instance carries", known, timeout_s=KNOWN_S)
    return found
