"""A campaign: fault after fault on real clusters under load, and after each of them every promise checked."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskGroup

from evals.linearizability import History, Recorder, RecordingStore, check
from evals.nemesis.account import Account
from evals.nemesis.clients import Client
from evals.nemesis.cluster import Setup, StoreCluster
from evals.nemesis.errors import NotThere, PromiseBroken
from evals.nemesis.fault import Fault, Trial
from evals.nemesis.faults import SEEN_S
from evals.nemesis.links import CLIENTS
from evals.nemesis.report import Report
from evals.nemesis.watchers import Seen, Watcher, check_shown
from runtime.consensus.client import StoreClient
from runtime.consensus.store import Delete, Put

WELL_S: Final = 30.0  # a machine that is busy with other things, too
PATIENCE_S: Final = (4.0, 0.8)  # with one request: a client that outlasts most faults, and one that gives up
SETTLE_S: Final = (0.1, 0.4)
CYCLES_KEPT: Final = 8  # whose keys are looked at again after every later fault
PRELOAD_TXN: Final = 250
PRELOAD_BYTES: Final = 200

Progress = Callable[[str], None]


async def campaign(
    faults: Sequence[Fault],
    *,
    seed: int,
    cycles: int,
    directory: Path | None = None,
    again: str = "",
    progress: Progress = lambda line: None,
    enough: Callable[[], bool] = lambda: False,
) -> Report:
    """So many cycles of each fault, in an order that the seed chooses, or until `enough`. Ends with the first broken
    promise; what the stores wrote is then kept, else only what was written to a directory that was named."""
    report = Report(seed=seed, cycles=cycles, again=again)
    base = directory or Path(tempfile.mkdtemp(prefix="aether-store-"))
    began_s = time.monotonic()
    number = 0
    for setup in dict.fromkeys(fault.setup for fault in faults):
        if report.failure or enough():
            break
        order = [fault for fault in faults if fault.setup == setup for _ in range(cycles)]
        random.Random(f"{seed}/{setup}").shuffle(order)  # noqa: S311  repeatable, nothing secret
        try:
            async with _run(base / f"stores-{number}", setup, seed) as run:
                for fault in order:
                    if enough():
                        break
                    number += 1
                    await run.cycle(number, fault, report, progress)
        except* (PromiseBroken, NotThere) as broken:
            first = next(_leaves(broken))
            report.failure = f"cycle {number}, {fault.name}: {type(first).__name__}: {first}"
    if report.failure:
        report.kept_in = str(base)
    elif directory is None:
        shutil.rmtree(base, ignore_errors=True)
    report.elapsed_s = time.monotonic() - began_s
    return report


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Broken promises first: what else went wrong may only follow from them."""
    found: list[BaseException] = []
    queue = [error]
    while queue:
        each = queue.pop(0)
        if isinstance(each, BaseExceptionGroup):
            queue += each.exceptions
        else:
            found.append(each)
    return iter(sorted(found, key=lambda each: not isinstance(each, PromiseBroken)))


class Run:
    """Cycles on one cluster."""

    def __init__(self, cluster: StoreCluster, seed: int) -> None:
        self.cluster = cluster
        self._seed = seed
        self._stores: dict[str, StoreClient] = {}
        self._seen: Seen = {}
        self._watchers: list[Watcher] = []
        self._accounts: deque[Account] = deque()

    async def begin(self, stack: AsyncExitStack, tasks: TaskGroup) -> None:
        """Opens two clients and a watch at every node, and two clients that go to any of them."""
        for node in (*self.cluster.names, CLIENTS):
            for name, patience_s in zip("ab", PATIENCE_S, strict=True):
                self._stores[f"{node}{name}"] = self._opened(stack, node, patience_s)
        await self._preload(self.cluster.setup.preloaded_keys)
        for node in self.cluster.names:
            watcher = Watcher(node, self._opened(stack, node, WELL_S), self._seen)
            self._watchers.append(watcher)
            tasks.start_soon(watcher.run)

    def _opened(self, stack: AsyncExitStack, node: str, patience_s: float) -> StoreClient:
        client = self.cluster.open(node, deadline_s=patience_s)
        stack.push_async_callback(client.close)
        return client

    async def _preload(self, keys: int) -> None:
        rng = random.Random(self._seed)  # noqa: S311  repeatable, nothing secret
        store = self.cluster.client(self.cluster.names[0])
        for at in range(0, keys, PRELOAD_TXN):
            puts = [
                Put(key=f"preloaded/{at + each:06}", value=rng.randbytes(PRELOAD_BYTES)) for each in range(PRELOAD_TXN)
            ]
            await store.txn([], puts)

    async def cycle(self, number: int, fault: Fault, report: Report, progress: Progress) -> None:
        """Raises PromiseBroken or NotThere."""
        rng = random.Random(f"{self._seed}/{number}")  # noqa: S311  repeatable, nothing secret
        leader = await self.cluster.leader(timeout_s=SEEN_S)
        account = Account(prefix=f"c{number}/")
        trial = Trial(self.cluster, rng, account, leader)
        began_s = time.monotonic()
        history = History(revision=(await self.cluster.client(leader).get("_")).revision)
        try:
            well_s = await self._under_load(trial, fault, Recorder(history, time.monotonic))
            await self._check(trial, report)
            _check_history(history, report)
        except BaseException:
            history.save(self.cluster.directory / f"history-{number}.jsonl")
            raise
        report.add(fault.name, fault.what, account, well_s=well_s)
        progress(
            f"cycle {number}: {fault.name} ({'; '.join(trial.told)}), well after {well_s:.1f} s, no change "
            f"acknowledged for {account.longest_gap_s:.1f} s; {account.commands} changes, {account.failed} of "
            f"unknown outcome; {time.monotonic() - began_s:.1f} s"
        )

    async def _under_load(self, trial: Trial, fault: Fault, recorder: Recorder) -> float:
        """The seconds from mending until every member is well again."""
        stopping = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for name, store in self._stores.items():
                rng = random.Random(trial.rng.random())  # noqa: S311  repeatable, nothing secret
                recording = RecordingStore(store, recorder, name)
                tasks.start_soon(Client(name, recording, rng, trial.account).run, stopping)
            await anyio.sleep(trial.rng.uniform(*SETTLE_S))
            await fault.start(trial)
            await self.cluster.until(
                f"{fault.name} ({'; '.join(trial.told)})", lambda: fault.observed(trial), timeout_s=SEEN_S
            )
            await anyio.sleep(trial.rng.uniform(*fault.hold_s))
            mended_s = time.monotonic()
            await fault.heal(trial)
            await self.cluster.until_well(timeout_s=WELL_S)
            well_s = time.monotonic() - mended_s
            await anyio.sleep(trial.rng.uniform(*SETTLE_S))
            stopping.set()
        return well_s

    async def _check(self, trial: Trial, report: Report) -> None:
        """Nobody writes any more; every promise of this cycle, and of those before it, must hold at any node."""
        store = self.cluster.client(trial.rng.choice(self.cluster.names))
        self._accounts.append(trial.account)
        for account in self._accounts:
            await account.check(store)
        await self.cluster.check_equal(timeout_s=WELL_S)
        now = (await store.get("_")).revision
        for watcher in self._watchers:
            await watcher.until(now, timeout_s=WELL_S)
        prefix = trial.account.prefix
        check_shown(self._seen, self._watchers, {prefix + key: at for key, at in trial.account.acknowledged.items()})
        report.revisions += len(self._seen)
        report.gaps += sum(len(watcher.gaps) for watcher in self._watchers)
        self._seen.clear()
        for watcher in self._watchers:
            watcher.gaps.clear()
        if len(self._accounts) > CYCLES_KEPT:
            await store.txn([], [Delete(key=self._accounts.popleft().prefix, prefix=True)])


def _check_history(history: History, report: Report) -> None:
    """Raises PromiseBroken for one that no single order of its operations explains."""
    verdict = check(history)
    if verdict.result == "violated":
        raise PromiseBroken(f"not linearizable: {verdict}")
    report.operations += verdict.checked if verdict.ok else 0
    report.undecided += not verdict.ok


@asynccontextmanager
async def _run(directory: Path, setup: Setup, seed: int) -> AsyncIterator[Run]:
    async with (
        StoreCluster(directory, setup, seed=seed) as cluster,
        AsyncExitStack() as stack,
        anyio.create_task_group() as tasks,
    ):
        run = Run(cluster, seed)
        await run.begin(stack, tasks)
        yield run
        tasks.cancel_scope.cancel()
