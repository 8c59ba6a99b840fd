"""A node's process that kills itself: `python -P -m evals.workflow.process --data DIR --store PID --bank FILE`.

Each line of input is a Task; the answer is the node's name once the run's people are at work, or "writes N".
The process that leads when it is told takes its life, and its store's, at the write that the task names.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import msgspec
import uvloop

from controllers.gate.errors import GateFault
from controllers.gate.proposals import read_proposal
from evals.workflow.bank import FileBank
from evals.workflow.counting import BEGIN, STARTER
from evals.workflow.dying import Fate
from evals.workflow.leader import LeaderProcess
from evals.workflow.people import BEN, LOOK_S, word_on
from runtime.clock import SystemClock
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Compare, LeaseId, Operation, TxnResult
from runtime.operations.dispatch import Submission
from runtime.sdk.testing import CollectedLog
from runtime.state import keys
from runtime.state.values import decode
from runtime.workflow.reading import everything
from runtime.workflow.records import RunRecord, RunState, StepRecord

EFFECT_S_MAX: Final = 0.02


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A run to begin, and at which write from now on to die; without a run: say how many writes there were since."""

    run: str = ""
    fails: bool = False
    at: int = 0
    fate: Fate = "lost"


class DeadlyStore(StoreClient):
    """Counts what the process writes from `arm` on."""

    store_pid = 0
    writes = 0
    at = 0
    fate: Fate = "lost"

    def arm(self, at: int, fate: Fate) -> None:
        self.writes, self.at, self.fate = 0, at, fate

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> TxnResult:
        if not then:
            return await super().txn(compare, then, otherwise)
        write = self._counted()
        found = await super().txn(compare, then, otherwise)
        self._answered(write)
        return found

    async def grant(self, ttl_ms: int) -> LeaseId:
        write = self._counted()
        found = await super().grant(ttl_ms)
        self._answered(write)
        return found

    def _counted(self) -> int:
        self.writes += 1
        if self.writes == self.at and self.fate == "lost":
            self._die()
        return self.writes

    def _answered(self, write: int) -> None:
        if write == self.at and self.fate == "unanswered":
            self._die()

    def _die(self) -> None:
        os.kill(self.store_pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class Worker:
    def __init__(self, layout: NodeLayout, store_pid: int, bank: FileBank) -> None:
        self._node = read_identity(layout.identity).node
        store = DeadlyStore.open(layout, read_identity(layout.identity))
        assert isinstance(store, DeadlyStore)
        self._store = store
        self._store.store_pid = store_pid
        self._bank = bank
        self._rng = random.Random(f"{self._node}/{os.getpid()}")  # noqa: S311  of pauses alone
        self._leader = LeaderProcess(
            self._node,
            self._store,
            bank,
            kept={},
            clock=SystemClock(),
            log=CollectedLog(),
            pause=self._pause,
            nonce=self._rng.randrange(10**6),
        )

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leader.live)
            tasks.start_soon(self._approves)
            tasks.start_soon(self._resolves)
            await self._leader.cache.ready()
            print("ready", flush=True)
            while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
                task = msgspec.json.decode(line, type=Task)
                if not task.run:
                    print(f"writes {self._store.writes}", flush=True)
                    continue
                self._store.arm(task.at if self._leader.leads else 0, task.fate)
                tasks.start_soon(self._begins, task)
                print(self._node, flush=True)
            tasks.cancel_scope.cancel()

    async def _pause(self) -> None:
        await anyio.sleep(self._rng.uniform(0.0, EFFECT_S_MAX))

    async def _begins(self, task: Task) -> None:
        """Until it is there, whoever began it."""
        request = {"run": task.run, "fails": task.fails, "locks": ["x"]}
        asked = Submission(operation=BEGIN, request=request, actor=STARTER, idempotency_key=task.run)
        while self._leader.cache.get(keys.run(task.run)) is None:
            await self._asks(asked)
            await anyio.sleep(LOOK_S / 5)

    async def _asks(self, submission: Submission) -> None:
        if self._leader.leads:
            with contextlib.suppress(StoreFault, GateFault):
                await self._leader.gate.submit(submission)

    async def _approves(self) -> None:
        while True:
            for item in self._leader.cache.items(keys.PROPOSALS) if self._leader.leads else ():
                proposal = read_proposal(item.value)
                if proposal is not None and proposal.waits and not proposal.votes:
                    with contextlib.suppress(StoreFault, GateFault):
                        await self._leader.votes.cast(proposal.id, BEN, approve=True, reason="seen")
            await anyio.sleep(LOOK_S / 5)

    async def _resolves(self) -> None:
        while True:
            for item in self._leader.cache.items(keys.RUNS) if self._leader.leads else ():
                run = decode(item.value, RunRecord)
                if run.state is RunState.NEEDS_HUMAN:
                    with contextlib.suppress(StoreFault):
                        found = await everything(self._store, keys.steps_of(run.id))
                        steps = [decode(each.value, StepRecord) for each in found.items]
                        await self._asks(word_on(run, steps, lambda key: self._bank.charges(key) > 0))
            await anyio.sleep(LOOK_S)


async def work(layout: NodeLayout, store_pid: int, bank: FileBank) -> None:
    await Worker(layout, store_pid, bank).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=int, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    given = parser.parse_args()
    uvloop.run(work(NodeLayout(given.data), given.store, FileBank(given.bank)))
