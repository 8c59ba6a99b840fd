"""The same run on real processes: three stores, an engine and a gate beside each, and SIGKILL for store and engine of
the leader at one write after the other."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import msgspec
from anyio.abc import Process

from evals.bench.peers import Peers, read_line
from evals.bench.store_group import StoreGroup
from evals.workflow.bank import FileBank
from evals.workflow.checks import BrokenRun, Seen, check
from evals.workflow.dying import Fate
from evals.workflow.process import Task
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Put
from runtime.operations.actor import Role
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow.reading import everything
from runtime.workflow.records import RunRecord, StepRecord

FATES: Final[tuple[Fate, ...]] = ("lost", "unanswered")
END_S: Final = 60.0
LOOK_S: Final = 0.1

Progress = Callable[[str], None]
Point = tuple[int, Fate]


@dataclass(slots=True, kw_only=True)
class Killings:
    """What the kills showed. writes: of a run that nobody disturbs."""

    seed: int
    writes: int = 0
    points: list[str] = field(default_factory=list)
    died: int = 0
    failure: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.points) and not self.failure

    def lines(self) -> list[str]:
        told = f"{len(self.points)} runs, {self.died} leaders killed amid them, at writes of {self.writes}"
        return [told, *([self.failure] if self.failure else []), "passed" if self.passed else "FAILED"]

    def figures(self) -> dict[str, object]:
        return {
            "passed": self.passed,
            "seed": self.seed,
            "writes": self.writes,
            "points": self.points,
            "leaders_killed": self.died,
            "failure": self.failure,
        }


def chosen(seed: int, writes: int, count: int) -> list[Point]:
    """So many points of all that there are, by the seed; all of them for 0."""
    points: list[Point] = [(at, fate) for at in range(1, writes + 1) for fate in FATES]
    rng = random.Random(seed)  # noqa: S311  repeatable, nothing secret
    return rng.sample(points, min(count, len(points))) if count else points


async def kill_at_writes(*, seed: int, count: int = 0, progress: Progress = lambda _line: None) -> Killings:
    """Ends with the first broken promise, or once so many leaders have died (0: every point was played). Two runs do
    not always make as many writes, so the last ones may not be reached. Raises PeerFailed."""
    report = Killings(seed=seed)
    async with AsyncExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aether-runs-")))
        group = await stack.enter_async_context(StoreGroup(base / "stores", 3))
        peers = await stack.enter_async_context(Peers())
        cluster = _Cluster(group, peers, base / "bank")
        await cluster.begin()
        try:
            await _points(cluster, report, count, progress)
        except (BrokenRun, TimeoutError) as broken:
            report.failure = f"{report.points[-1]}: {broken}"
        finally:
            with anyio.CancelScope(shield=True):
                await cluster.close()
    return report


async def _points(cluster: _Cluster, report: Killings, count: int, progress: Progress) -> None:
    report.points.append("nobody dies")
    await cluster.watched_run(fails=True, at=0, fate="lost")
    report.writes = await cluster.writes()
    for at, fate in chosen(report.seed, report.writes, len(FATES) * report.writes if count else 0):
        report.points.append(f"write {at} {fate}")
        died = await cluster.watched_run(fails=True, at=at, fate=fate)
        report.died += died
        progress(
            f"{report.points[-1]}: {'' if died else 'not reached, as fewer were made; '}the run ended as it should"
        )
        if count and report.died == count:
            return


class _Cluster:
    def __init__(self, group: StoreGroup, peers: Peers, bank: Path) -> None:
        self._group = group
        self._peers = peers
        self._path = bank
        self._bank = FileBank(bank)
        self._workers: dict[str, Process] = {}
        self._number = 0
        group.load_words(*group.nodes)
        layout = NodeLayout(group.base / "client")
        self._store = StoreClient.open(layout, read_identity(layout.identity))

    async def begin(self) -> None:
        for name in ("anna", "ben"):
            record = PrincipalRecord(id=name, kind="person", role=Role.OPERATOR)
            await self._store.txn((), [Put(key=keys.principal(name), value=encode(record))])
        for node in self._group.nodes:
            await self._start(node)

    async def close(self) -> None:
        await self._store.close()

    async def watched_run(self, *, fails: bool, at: int, fate: Fate) -> bool:
        """Whether a leader died amid it. Raises BrokenRun, TimeoutError."""
        self._number += 1
        run = f"k{self._number:03}"
        await self._group.leader()
        await self._told(Task(run=run, fails=fails, at=at, fate=fate))
        with anyio.fail_after(END_S):
            items = await self._ended(run)
        dead = [node for node, worker in self._workers.items() if worker.returncode is not None]
        for node in dead:
            self._group.kill(node)
            self._group.start(node)
            await self._group.leader()
            await self._start(node)
        check(self._seen(run, items, fails=fails))
        return bool(dead)

    async def writes(self) -> int:
        """Of the leader since it was told of its last run."""
        worker = self._workers[await self._group.leader()]
        return int((await _answer(worker, Task())).split()[1])

    async def _start(self, node: str) -> None:
        words = (
            "--data",
            str(self._group.base / node),
            "--store",
            str(self._group.pid(node)),
            "--bank",
            str(self._path),
        )
        self._workers[node] = await self._peers.start("evals.workflow.process", *words)

    async def _told(self, task: Task) -> None:
        """One that leads may die before it can say that it has heard."""
        for worker in self._workers.values():
            await _answer(worker, task)

    async def _ended(self, run: str) -> dict[str, bytes]:
        """All that the store has, once the run is over and the audit has told it."""
        while True:
            try:
                item = (await self._store.get(keys.run(run))).item
                if item is not None and decode(item.value, RunRecord).ended:
                    found = {each.key: each.value for each in (await everything(self._store, "")).items}
                    if not any(key.startswith((keys.AUDIT_JOINED, keys.AUDIT_FRESH)) for key in found):
                        return found
            except StoreFault:
                pass
            await anyio.sleep(LOOK_S)

    def _seen(self, run: str, items: dict[str, bytes], *, fails: bool) -> Seen:
        prefix = keys.steps_of(run)
        steps = [decode(value, StepRecord) for key, value in sorted(items.items()) if key.startswith(prefix)]
        return Seen(
            asked=(run,),
            fails={run: fails},
            cancelled=False,
            parked=frozenset(),
            runs={run: decode(items[keys.run(run)], RunRecord)},
            steps={run: steps},
            outside=self._bank,
            items=items,
        )


async def _answer(worker: Process, task: Task) -> str:
    """Empty of one that has died."""
    assert worker.stdin is not None
    try:
        await worker.stdin.send(msgspec.json.encode(task) + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return ""
    return await read_line(worker)
