"""One story, told by its seed: runs begin, people approve and resolve, and the leader dies at one write, or at two."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

import anyio
import msgspec

from controllers.gate.errors import GateFault
from controllers.gate.proposals import read_proposal
from evals.simulation.loop import run as in_simulated_time
from evals.workflow.checks import BrokenRun, Seen, check
from evals.workflow.counting import BEGIN, COUNTERS, STARTER, count_in
from evals.workflow.dying import DyingStore, Fate
from evals.workflow.leader import LeaderProcess
from evals.workflow.people import BEN, LOOK_S, word_on
from evals.workflow.three_steps import Outside
from runtime.consensus.errors import StoreFault
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Put
from runtime.operations.actor import Role
from runtime.operations.dispatch import Outcome, Refused, Submission
from runtime.sdk.testing import CollectedLog
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow.records import RunRecord, RunState, StepRecord

ELECTION_S: Final = 1.5
EFFECT_S_MAX: Final = 0.05
TOLD_S: Final = 60.0  # behind the end, until the audit has its records at their places, whoever leads then
HELD_S: Final = 3.0
LIMIT_S: Final = 900.0  # of simulated time: a run that has not ended by then is lost
NEVER: Final = 1_000_000
UNIX_S: Final = 1_700_000_000


class LoopClock:
    """Of the simulated loop."""

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def unix_ms(self) -> int:
        return int((UNIX_S + self.monotonic_s()) * 1_000)


@dataclass(slots=True, kw_only=True)
class Told:
    """`writes` is how many the first leader made, or would have."""

    seed: int
    at: int
    fate: Fate
    writes: int = 0
    leaders: int = 0
    ended: tuple[str, ...] = ()
    parked: int = 0
    paused: int = 0
    violation: str = ""


@dataclass(slots=True)
class Plot:
    """What the seed says. Runs whose locks cross, some that fail, perhaps one that is cancelled, or paused for a while;
    a bank that knows."""

    rng: random.Random
    runs: tuple[str, ...] = ()
    fails: dict[str, bool] = field(default_factory=dict)
    locks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cancels_s: float = 0.0
    pauses_s: float = 0.0
    clueless: bool = False

    @classmethod
    def of(cls, seed: int) -> Plot:
        rng = random.Random(f"plot/{seed}")  # noqa: S311  repeatable, nothing secret
        runs = ("r1", "r2")[: rng.choice((1, 1, 2))]
        return cls(
            rng=rng,
            runs=runs,
            fails={each: rng.random() < 0.5 for each in runs},
            locks={each: tuple(rng.sample(("x", "y"), rng.choice((0, 1, 2)))) for each in runs},
            cancels_s=rng.uniform(0.1, 4.0) if rng.random() < 0.25 else 0.0,
            clueless=rng.random() < 0.3,
            pauses_s=rng.uniform(0.05, 0.6) if rng.random() < 0.25 else 0.0,
        )


class Story:
    """`leader` is who leads at the moment, dead or not: nobody hears of a death but by no answer."""

    def __init__(self, seed: int, at: int, fate: Fate) -> None:
        self.told = Told(seed=seed, at=at, fate=fate)
        self.plot = Plot.of(seed)
        self._rng = random.Random(f"{seed}/{at}/{fate}")  # noqa: S311  repeatable, nothing secret
        self._memory = MemoryStore("n1")
        self._outside = Outside(clueless=self.plot.clueless)
        self._kept: dict[str, bytes] = {}
        self._clock = LoopClock()
        self.log = CollectedLog()
        self._parked: set[str] = set()
        self._wishes = count(1)

    async def tell(self) -> Told:
        for name in ("anna", "ben"):
            record = PrincipalRecord(id=name, kind="person", role=Role.OPERATOR)
            await self._memory.txn((), [Put(key=keys.principal(name), value=encode(record))])
        async with anyio.create_task_group() as self._tasks:
            first = self._stands("n1", self.told.at, self.told.fate)
            for work in (self._approves, self._resolves, self._cancels, self._pauses):
                self._tasks.start_soon(work)
            for run in self.plot.runs:
                self._tasks.start_soon(self._begins, run)
            with anyio.move_on_after(LIMIT_S):
                await self._until_ended()
            with anyio.move_on_after(TOLD_S):
                await self._until_told()
            self._tasks.cancel_scope.cancel()
        self.told.writes = first.writes
        self._look_back()
        return self.told

    def _look_back(self) -> None:
        runs = self._runs()
        self.told.ended = tuple(str(each.state) for each in runs.values())
        self.told.parked = len(self._parked)
        seen = Seen(
            asked=self.plot.runs,
            fails=self.plot.fails,
            cancelled=bool(self.plot.cancels_s),
            parked=frozenset(self._parked),
            runs=runs,
            steps={each: self._steps(each) for each in self.plot.runs},
            outside=self._outside,
            items={key: item.value for key, item in self._memory.items.items()},
        )
        try:
            check(seen)
        except BrokenRun as broken:
            self.told.violation = str(broken)

    # -- leaders -------------------------------------------------------------------------------------------------------

    def _stands(self, node: str, at: int, fate: Fate) -> DyingStore:
        store = DyingStore(self._memory, self._rng, at=at, fate=fate, die=self._dies)

        async def pause() -> None:
            await anyio.sleep(self._rng.uniform(0.0, EFFECT_S_MAX))
            await store.awake.wait()

        self.leader = LeaderProcess(
            node,
            store,
            self._outside,
            kept=self._kept,
            clock=self._clock,
            log=self.log,
            pause=pause,
            nonce=self._rng.randrange(10**6),
        )
        self._store = store
        self.told.leaders += 1
        self._tasks.start_soon(self.leader.live)
        return store

    def _dies(self, fate: Fate) -> None:
        if fate == "slept":
            self._store.sleep()
        else:
            self._store.end()
            self.leader.kill()
        self._tasks.start_soon(self._elects, self._store, fate)

    async def _elects(self, old: DyingStore, fate: Fate) -> None:
        await anyio.sleep(ELECTION_S)
        node = f"n{self.told.leaders + 1}"
        self._memory.engine.lead(node)
        again = self._rng.random() < 0.3 and self.told.leaders < 4
        self._stands(node, self._rng.randint(1, 30) if again else NEVER, self._rng.choice(("lost", "unanswered")))
        if fate == "slept":
            await anyio.sleep(self._rng.choice((0.0, 0.01, 0.2, 5.0)))
            old.awake.set()

    # -- people --------------------------------------------------------------------------------------------------------

    async def _begins(self, run: str) -> None:
        request = {"run": run, "fails": self.plot.fails[run], "locks": list(self.plot.locks[run])}
        await self._asks(Submission(operation=BEGIN, request=request, actor=STARTER, idempotency_key=run))

    async def _asks(self, submission: Submission) -> Outcome:
        """Until somebody answers. One wish has one key, as clients give it: asked again, it is no second wish."""
        key = submission.idempotency_key or f"wish/{next(self._wishes)}"
        submission = msgspec.structs.replace(submission, idempotency_key=key)
        while True:
            with contextlib.suppress(StoreFault, GateFault, TimeoutError):
                with anyio.fail_after(5):
                    outcome = await self.leader.gate.submit(submission)
                if not isinstance(outcome, Refused) or not outcome.retryable:
                    return outcome
            await anyio.sleep(LOOK_S)

    async def _approves(self) -> None:
        while True:
            for key, item in list(self._memory.items.items()):
                proposal = read_proposal(item.value) if key.startswith(keys.PROPOSALS) else None
                if proposal is not None and proposal.waits and not proposal.votes:
                    with contextlib.suppress(StoreFault, GateFault, TimeoutError), anyio.fail_after(5):
                        await self.leader.votes.cast(proposal.id, BEN, approve=True, reason="seen")
            await anyio.sleep(self._rng.uniform(0.1, LOOK_S))

    async def _cancels(self) -> None:
        if self.plot.cancels_s:
            await anyio.sleep(self.plot.cancels_s)
            await self._asks(Submission(operation="run.cancel", request={"run": self.plot.runs[0]}, actor=STARTER))

    async def _pauses(self) -> None:
        """The first run, once; whoever has it held lets it go on, also where the pause came late."""
        if not self.plot.pauses_s:
            return
        await anyio.sleep(self.plot.pauses_s)
        run = self.plot.runs[0]
        await self._asks(Submission(operation="run.pause", request={"run": run}, actor=STARTER))
        while True:
            found = self._runs().get(run)
            if found is not None and found.state is RunState.PAUSED:
                self.told.paused += 1
                await anyio.sleep(HELD_S)
                await self._asks(Submission(operation="run.resume", request={"run": run}, actor=STARTER))
            await anyio.sleep(LOOK_S)

    async def _resolves(self) -> None:
        """What nobody could tell, somebody goes and looks."""
        while True:
            for run in self._runs().values():
                if run.state is RunState.NEEDS_HUMAN:
                    self._parked.add(run.id)
                    await self._asks(word_on(run, self._steps(run.id), partial(self._took_effect, run.epoch)))
            await anyio.sleep(LOOK_S)

    def _took_effect(self, epoch: int, key: str) -> bool:
        if key.endswith("/charge"):
            return self._outside.seen_by_person(key, epoch)
        item = self._memory.items.get(f"{COUNTERS}{key.replace('/', '-')}")
        return count_in(item.value if item is not None else None) > 0

    # -- what the store says -------------------------------------------------------------------------------------------

    async def _until_ended(self) -> None:
        while len(found := self._runs()) < len(self.plot.runs) or not all(each.ended for each in found.values()):
            await self._memory.engine.changes.after(self._memory.engine.changes.count)

    async def _until_told(self) -> None:
        while any(key.startswith((keys.AUDIT_JOINED, keys.AUDIT_FRESH)) for key in self._memory.items):
            await self._memory.engine.changes.after(self._memory.engine.changes.count)

    def _runs(self) -> dict[str, RunRecord]:
        found = [decode(item.value, RunRecord) for key, item in self._memory.items.items() if key.startswith(keys.RUNS)]
        return {each.id: each for each in found}

    def _steps(self, run: str) -> list[StepRecord]:
        prefix = keys.steps_of(run)
        return [decode(item.value, StepRecord) for key, item in self._memory.items.items() if key.startswith(prefix)]


def told(seed: int, at: int = NEVER, fate: Fate = "lost") -> Told:
    """The story of that seed, in which the first leader meets its fate at that write."""

    async def tell() -> Told:
        return await Story(seed, at, fate).tell()

    return in_simulated_time(tell())
