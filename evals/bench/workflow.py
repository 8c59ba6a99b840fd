"""`aether bench workflow`: durable steps on three stores with quorum and fsync, beside DBOS on SQLite, in one run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import anyio
from anyio.abc import Process

from evals.bench.peers import Peers, read_line
from evals.bench.store_group import StoreGroup
from evals.bench.workflow_engine import KIND
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Put, Revision
from runtime.names import Sha256
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow.records import RunRecord

STEPS: Final = 50  # of a run, and of DBOS's workflow
MANY: Final = 32
RUNS_OF_MANY: Final = 8  # of each of the 32 in one round: some 10,000 steps
PAUSE_MS: Final = 25  # of a step while leaders die: then every run is amid one
KILL_S: Final = 1.0
BACK_S: Final = 60.0
ACTOR: Final = Actor(kind=ActorKind.AUTOMATION, id="bench", role=Role.OPERATOR)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`directory`: where both keep their disks; the default temporary one may be no disk at all."""

    seconds: float = 3.0
    rounds: int = 5
    kills: int = 6
    dbos_python: str = ""
    directory: Path | None = None


@dataclass(slots=True)
class Result:
    steps1: list[float] = field(default_factory=list)
    steps32: list[float] = field(default_factory=list)
    dbos1: list[float] = field(default_factory=list)
    dbos32: list[float] = field(default_factory=list)
    resume_ms: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        """Medians of the rounds, steps a second; ratios are to DBOS with one workflow at a time."""
        found: dict[str, object] = {
            "steps1_s": round(median(self.steps1)),
            "steps32_s": round(median(self.steps32)),
            "resume_ms_p50": round(median(self.resume_ms)),
            "resume_ms_p99": round(percentile(self.resume_ms, 0.99)),
            "resumed": len(self.resume_ms),
        }
        if self.dbos1:
            alone = median(self.dbos1)
            found |= {
                "dbos1_s": round(alone),
                "dbos32_s": round(median(self.dbos32)),
                "steps1_vs_dbos": round(median(self.steps1) / alone, 2),
                "steps32_vs_dbos": round(median(self.steps32) / alone, 2),
            }
        return {**found, "notes": self.notes}

    def lines(self) -> list[str]:
        rows = {
            "steps/s, one run": self.steps1,
            f"steps/s, {MANY} runs": self.steps32,
            "DBOS steps/s, one": self.dbos1,
            f"DBOS steps/s, {MANY}": self.dbos32,
        }
        told = [
            f"{name:22} {median(each):8,.0f}   ({min(each):,.0f}-{max(each):,.0f})"
            for name, each in rows.items()
            if each
        ]
        plain = [f"{name:22} {value}" for name, value in self.figures().items() if name not in ("notes",)]
        return [*told, *plain, *self.notes]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def dbos_is_here(python: str) -> bool:
    """Whether that Python, ours by default, can import DBOS."""
    if not python:
        return importlib.util.find_spec("dbos") is not None
    return subprocess.run([python, "-c", "import dbos"], capture_output=True, check=False).returncode == 0


async def measure(plan: Plan, progress: Progress) -> Result:
    """Raises PeerFailed."""
    result = Result()
    with TemporaryDirectory(prefix="aether-workflow-", dir=plan.directory) as temporary:
        base = Path(temporary)
        async with StoreGroup(base / "stores", 3) as group, Peers() as peers:
            bench = _Bench(group, peers)
            for node in group.nodes:
                await bench.start_engine(node)
            dbos = await _dbos(peers, plan, base, result)
            for number in range(plan.rounds):
                await _round(bench, dbos, plan, result)
                progress(f"round {number + 1} of {plan.rounds}")
            for number in range(plan.kills):
                result.resume_ms += await bench.resumed()
                progress(f"leader {number + 1} of {plan.kills} killed")
            await bench.close()
    return result


async def _dbos(peers: Peers, plan: Plan, base: Path, result: Result) -> Process | None:
    if not dbos_is_here(plan.dbos_python):
        result.notes.append("DBOS not measured: dbos is not installed (--dbos-python names another Python)")
        return None
    directory = base / "dbos"
    directory.mkdir()
    script = str(Path(__file__).with_name("dbos_steps.py"))
    return await peers.start_script(script, str(directory), python=plan.dbos_python or sys.executable)


async def _round(bench: _Bench, dbos: Process | None, plan: Plan, result: Result) -> None:
    """One after the other, so that neither disturbs the other."""
    result.steps1.append(await bench.rate(1, plan.seconds))
    if dbos is not None:
        result.dbos1.append(await _asked(dbos, plan.seconds, 1))
    result.steps32.append(await bench.rate(MANY, plan.seconds))
    if dbos is not None:
        result.dbos32.append(await _asked(dbos, plan.seconds, MANY))


async def _asked(dbos: Process, seconds: float, threads: int) -> float:
    assert dbos.stdin is not None
    await dbos.stdin.send(f"{seconds} {STEPS} {threads}\n".encode())
    return float(await read_line(dbos))


class _Bench:
    """Starts runs and sees them end, as a client of the stores that any member serves."""

    def __init__(self, group: StoreGroup, peers: Peers) -> None:
        self._group = group
        self._peers = peers
        self._engines: dict[str, Process] = {}
        group.load_words(*group.nodes)
        layout = NodeLayout(group.base / "client")
        self._store = StoreClient.open(layout, read_identity(layout.identity))
        self._number = 0

    async def start_engine(self, node: str) -> None:
        words = ("--data", str(self._group.base / node))
        self._engines[node] = await self._peers.start("evals.bench.workflow_engine", *words)

    async def close(self) -> None:
        await self._store.close()

    async def rate(self, width: int, seconds: float) -> float:
        """Steps a second while so many runs go on at a time, each followed by another until the time is over."""
        done = 0
        began = time.perf_counter()
        ends = began + seconds
        watched = _Ends(self._store)
        async with anyio.create_task_group() as tasks:
            await tasks.start(watched.follow)

            async def one_after_the_other() -> None:
                nonlocal done
                while time.perf_counter() < ends:
                    await watched.ended(await self._begin(pause_ms=0))
                    done += STEPS

            async with anyio.create_task_group() as runs:
                for _ in range(width):
                    runs.start_soon(one_after_the_other)
            took = time.perf_counter() - began
            tasks.cancel_scope.cancel()
        return done / took

    async def _begin(self, *, pause_ms: int) -> str:
        self._number += 1
        run = RunRecord(
            id=f"b{self._number:07}",
            kind=KIND,
            definition=Sha256("0" * 64),
            input={"steps": STEPS if not pause_ms else 4 * STEPS, "pause_ms": pause_ms},
            actor=ACTOR,
            created_unix_ms=0,
        )
        await self._store.txn((), [Put(key=keys.run(run.id), value=encode(run))])
        return run.id

    async def resumed(self) -> list[float]:
        """Milliseconds from when a new leader stands until each of 32 runs is taken over, after the old one's store
        and engine were killed."""
        watched = _Ends(self._store)
        async with anyio.create_task_group() as tasks:
            await tasks.start(watched.follow)
            runs = [await self._begin(pause_ms=PAUSE_MS) for _ in range(MANY)]
            await anyio.sleep(KILL_S)
            old = await self._group.leader()
            killed_s = time.monotonic()
            self._engines.pop(old).kill()
            self._group.kill(old)
            with anyio.fail_after(BACK_S):
                await watched.taken_over(runs)
            stood_s = await self._stood(await self._group.leader(), killed_s)
            found = [(watched.taken_s[run] - stood_s) * 1_000 for run in runs]
            self._group.start(old)
            await self._group.leader()
            await self.start_engine(old)
            with anyio.fail_after(BACK_S):
                for run in runs:
                    await watched.ended(run)
            tasks.cancel_scope.cancel()
        return found

    async def _stood(self, node: str, after_s: float) -> float:
        """When its engine heard that it leads."""
        while True:
            said, _, at = (await read_line(self._engines[node])).partition(" ")
            if said == "leads" and float(at) > after_s:
                return float(at)


class _Ends:
    """Follows runs: when each was taken over, and which have ended."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._ended: set[str] = set()
        self._moved = anyio.Event()
        self.taken_s: dict[str, float] = {}

    async def follow(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        revision = (await self._store.get("_nothing")).revision
        task_status.started()
        while True:
            try:
                async for batch in self._store.watch(keys.RUNS, from_revision=Revision(revision + 1)):
                    revision = max(revision, batch.revision)
                    for event in batch.events:
                        if event.kind == "put":
                            self._take(decode(event.item.value, RunRecord))
            except StoreFault:
                await anyio.sleep(0.01)

    def _take(self, run: RunRecord) -> None:
        if run.epoch > 1 and run.id not in self.taken_s:
            self.taken_s[run.id] = time.monotonic()
        if run.ended:
            self._ended.add(run.id)
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def ended(self, run: str) -> None:
        while run not in self._ended:
            await self._moved.wait()

    async def taken_over(self, runs: list[str]) -> None:
        while not all(run in self.taken_s for run in runs):
            await self._moved.wait()
