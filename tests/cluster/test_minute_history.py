"""History over real nodes: one that was away has the past again, so it may lead as well as any other."""

from __future__ import annotations

import csv
import shutil
import sys
import time
from pathlib import Path

import anyio
import pytest

from controllers.context.history import FILE_NAME
from controllers.context.history_file import HistoryFile, Span
from controllers.context.minute import SliceMinute
from evals.forge.forge import Forge

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 600
FILLED_S = 30.0


def history_of(forge: Forge, node: str) -> HistoryFile:
    """Opened beside the node's own process: SQLite lets several."""
    return HistoryFile(forge.nodes[node].data / "history" / FILE_NAME, days=14, bytes_max=1 << 28)


async def test_a_node_that_was_away_gets_the_minutes_that_it_missed(tmp_path: Path) -> None:
    async with Forge(nodes=3, apps=[], state=tmp_path) as forge:
        away, *others = sorted(forge.running())
        await forge.nodes[away].stop(drain=False)
        shutil.rmtree(forge.nodes[away].data / "history")
        first = int(time.time()) // 60 - 3 * 24 * 60
        past = [
            SliceMinute(slice="tea", version="1", minute=first + at, invocations=float(at)) for at in range(MINUTES)
        ]
        for node, mine in zip(others, (past[::2], past[1::2]), strict=True):
            file = history_of(forge, node)
            file.append(mine)
            file.close()
        await forge.start_node(away)

        async def filled() -> bool:
            file = history_of(forge, away)
            (found,) = file.load([Span("tea", first, MINUTES)])
            file.close()
            return found.tolist() == [each.invocations for each in past]

        await forge.until("the node that was away has the minutes of both others", filled, timeout_s=FILLED_S)
        assert await exported(forge, away, tmp_path / "data.csv") == [str(each.invocations) for each in past]


async def exported(forge: Forge, node: str, file: Path) -> list[str]:
    """The invocations of all minutes of `tea`, as the command writes them from that node."""
    data = forge.nodes[forge.names[0]].data
    command = f"controller training-data {file} --slice tea --api {forge.nodes[node].addresses.api} --data {data}"
    await anyio.run_process([sys.executable, "-P", "-m", "agent_api.cli.main", *command.split()], cwd=ROOT)
    with file.open(newline="") as rows:
        return [row["invocations"] for row in csv.DictReader(rows)]
