"""The live loop: every second each slice is judged, and what must change goes through the gate."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from controllers.context.snapshot import SliceContext
from controllers.scaling.boosted import Boosted
from controllers.scaling.judging import NOT_HERE, Advisers, Judgement, Now, SliceMemory, explained, without_room
from controllers.scaling.model import Because, Forecast, Opinion
from controllers.scaling.oddities import Oddities
from controllers.scaling.outlook import Outlook
from controllers.scaling.reasoning import Asker, Question
from controllers.scaling.records import (
    OUTCOME_MINUTES,
    DecisionOutcome,
    DecisionRecord,
    Due,
    GateAnswer,
    Journal,
    gate_answer,
    options_of,
)
from controllers.scaling.standing import ACTOR, Standing, State, standings
from controllers.scaling.tree import RuleTree
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.deployment.records import Records
from runtime.errors import RuntimeFault
from runtime.operations.dispatch import Dispatcher, Submission
from runtime.state import keys

SUBMITTED_AT_ONCE: Final = 8
REFUSED_S: Final = 10.0  # before the same is tried again, twice as long each time
REFUSED_S_MAX: Final = 320.0
PROPOSED_S: Final = 60.0
NEAR_MISS_S: Final = 30.0  # between two records of near misses of one slice
TROUBLE_S: Final = 5  # seconds without usable figures, before it is told
SUBMIT_S: Final = 10.0


@dataclass(slots=True)
class _Memory:
    """Of one slice, on the leader."""

    judging: SliceMemory = field(default_factory=SliceMemory)
    wait_until_s: float = 0.0
    failures: int = 0
    told: set[tuple[Because, ...]] = field(default_factory=set)
    """Near misses that were recorded since the last change."""
    told_at_s: float = -NEAR_MISS_S
    trouble_s: int = 0
    called_s: int = 0
    violated_s: int = 0
    """Seconds with calls, and those of them with a 95th percentile above the SLO."""
    opinion: Opinion | None = None
    asked_at_s: float = -math.inf

    def count(self, judged: Judgement) -> None:
        seen = judged.seen
        if seen.rate is not None and seen.idle_s == 0 and seen.latency_p95_ms is not None:
            self.called_s += 1
            self.violated_s += seen.latency_p95_ms > judged.at.config.slo_p95_ms

    def heard(self, judged: Judgement, gate: GateAnswer, now_s: float) -> None:
        """What came of a decision, and so when the next may follow."""
        if gate.outcome == "applied":
            self.told.clear()
            self.failures, self.wait_until_s = 0, now_s
            return
        self.told.add(judged.decision.because)
        self.told_at_s = now_s
        if gate.outcome == "proposed":
            self.wait_until_s = now_s + PROPOSED_S
        elif gate.outcome != "none":
            self.wait_until_s = now_s + min(REFUSED_S_MAX, REFUSED_S * 2**self.failures)
            self.failures += 1


class ScalingLoop:
    """`hear` is called with every second on every node; `run` is a leader service."""

    def __init__(
        self,
        *,
        state: State,
        records: Records,
        tree: RuleTree,
        loads: Callable[[], Mapping[str, SliceContext]],
        outlook: Outlook,
        dispatcher: Dispatcher,
        journal: Journal,
        clock: Clock,
        new_id: Callable[[], str],
        log: Lines,
        boosted: Callable[[], Boosted] | None = None,
        asker: Asker | None = None,
    ) -> None:
        """boosted: opens the model that corrects the tree, in a thread, once there is a slice to scale."""
        self.tree = tree
        self._state = state
        self._records = records
        self._loads_now = loads
        self._outlook = outlook
        self._dispatcher = dispatcher
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._log = log
        self._open_boosted = boosted
        self._boosted: Boosted | None = None
        self._asker = asker
        self._loads: Mapping[str, SliceContext] = {}
        self._second = anyio.Event()
        self._standings: dict[str, Standing] = {}
        self._standings_at = -1
        self._memories: dict[str, _Memory] = {}
        self._without_room = 0
        self._oddities = Oddities()
        self._marks: dict[str, tuple[int, int]] = {}

    # -- every node ----------------------------------------------------------------------------------------------------

    def hear(self, _second: object) -> None:
        """A second has ended: its loads can be read."""
        self._second.set()
        self._second = anyio.Event()

    def standings(self) -> Mapping[str, Standing]:
        """Of all slices, made anew when the state has changed."""
        changed_at = int(self._state.changed_at)
        if changed_at != self._standings_at:
            self._standings_at = changed_at
            self._standings = standings(self._state, self._records)
        return self._standings

    def load(self, slice_name: str) -> SliceContext | None:
        """As of the last tick."""
        return self._loads.get(slice_name)

    def forecast(self, slice_name: str) -> Forecast | None:
        return self._outlook.forecast(slice_name)

    def look(self, slice_name: str) -> Judgement | None:
        """What would be decided now, with the rules' path: nothing is done or noted."""
        at = self.standings().get(slice_name)
        self._loads = self._loads_now()
        if at is None:
            return None
        memory, load = self._memories.get(slice_name) or _Memory(), self._loads.get(slice_name)
        return memory.judging.look(
            self._state,
            at,
            load,
            asked=self._advisers(),
            now=self._now(),
            opinion=memory.opinion,
            explain=True,
        )

    # -- the leader ----------------------------------------------------------------------------------------------------

    async def run(self, fence: int) -> None:
        self._memories.clear()
        self._without_room = 0
        self._oddities = Oddities()
        self._marks.clear()
        await self._journal.open()
        async with anyio.create_task_group() as tasks:
            while True:
                await self._second.wait()
                await self.tick(fence, tasks)

    async def tick(self, fence: int, tasks: TaskGroup) -> None:
        """Once over all slices. Raises RuntimeFault."""
        await self.prepare()
        limiter = anyio.CapacityLimiter(SUBMITTED_AT_ONCE)
        async with anyio.create_task_group() as acting:
            for judged in self.judge_all():
                memory = self._memories[judged.at.slice]
                if self._asker is not None:
                    asked = Question(
                        slice=judged.at.slice, seen=judged.seen, around=judged.around, otherwise=judged.decision
                    )
                    self._asker.offer(asked, memory, functools.partial(explained, judged, self.tree), tasks)
                if self._is_due(judged, memory):
                    acting.start_soon(self._act, judged, memory, fence, limiter)
        await self._tell_troubles(fence)
        now = self._now()
        for odd in self._oddities.found(now.unix_ms, now.monotonic_s, self._loads):
            self._log.warning("scaling_passed_over", kind=odd.kind, slice=odd.slice, reason=odd.why)
            await self._journal.note(odd, fence)
        for due in self._journal.due(self._clock.unix_ms()):
            await self._journal.add_outcome(due, self._outcome(due), fence)

    async def prepare(self) -> None:
        """Opens the boosted model once there is a slice, and tries it once: without it the tree decides alone."""
        if self._open_boosted is None or not self.standings():
            return
        opening, self._open_boosted = self._open_boosted, None
        try:
            self._boosted = await to_thread.run_sync(opening)
        except Exception as error:  # whatever is wrong with the model, the tree goes on
            self._log.warning("boosted_rules_refused", reason=str(error))

    def judge_all(self) -> list[Judgement]:
        """Pure but for each slice's memory of what it needed."""
        known = self.standings()
        self._loads = self._loads_now()
        self._memories = {name: memory for name, memory in self._memories.items() if name in known}
        found, now, asked = [], self._now(), self._advisers()
        for name, at in known.items():
            memory = self._memories.setdefault(name, _Memory())
            load = self._loads.get(name)
            judged = memory.judging.second(self._state, at, load, asked=asked, now=now, opinion=memory.opinion)
            memory.trouble_s = memory.trouble_s + 1 if judged.trouble else 0
            memory.count(judged)
            found.append(judged)
        self._without_room = without_room(found)
        return found

    def without_room(self) -> int:
        """Instances of all slices that found no room on the nodes in the last second."""
        return self._without_room

    def _advisers(self) -> Advisers:
        return Advisers(tree=self.tree, outlook=self._outlook, boosted=self._boosted)

    def _now(self) -> Now:
        return Now(self._clock.unix_ms(), self._clock.monotonic_s())

    def _is_due(self, judged: Judgement, memory: _Memory) -> bool:
        """A change now, or a near miss that was not told yet."""
        now_s = self._clock.monotonic_s()
        if judged.is_change:
            return now_s >= memory.wait_until_s
        if judged.trouble and memory.trouble_s < TROUBLE_S:
            return False
        new = judged.decision.because not in memory.told
        return judged.is_near_miss and not judged.at.paused and new and now_s - memory.told_at_s >= NEAR_MISS_S

    async def _act(self, judged: Judgement, memory: _Memory, fence: int, limiter: anyio.CapacityLimiter) -> None:
        now_s, identity = self._clock.monotonic_s(), self._new_id()
        async with limiter:
            gate = await self._submit(judged, identity) if judged.is_change else GateAnswer()
        memory.heard(judged, gate, now_s)
        record = self._record(judged, identity, gate)
        self._mark(record)
        self._log.info(
            "scaling_decided",
            decision=identity,
            slice=record.slice,
            kind=record.kind,
            before=record.seen.current,
            wanted=record.decision.wanted,
            because=list(record.decision.because),
            trouble=record.trouble,
            gate=gate.outcome,
        )
        await self._journal.write(record, fence)

    async def _submit(self, judged: Judgement, identity: str) -> GateAnswer:
        at, decision = judged.at, judged.decision
        submission = Submission(
            operation="slice.scale",
            request={"slice": at.slice, "version": at.version, "instances": decision.wanted - at.others},
            actor=ACTOR,
            reason=f"decision {identity}: {', '.join(decision.because)}",
            evidence=(f"decision:{identity}",),
            propose=decision.gate_class > 0,
        )
        try:
            with anyio.fail_after(SUBMIT_S):
                return gate_answer(await self._dispatcher.submit(submission))
        except (RuntimeFault, TimeoutError) as error:
            return GateAnswer(outcome="failed", rule=str(error) or "no answer in time")

    def _record(self, judged: Judgement, identity: str, gate: GateAnswer) -> DecisionRecord:
        at = judged.at
        return DecisionRecord(
            id=identity,
            at_unix_ms=self._clock.unix_ms(),
            kind="change" if judged.is_change else "near_miss",
            slice=at.slice,
            version=at.version,
            config=at.config,
            tree=self.tree.name,
            seen=judged.seen,
            trouble=judged.trouble,
            around=judged.around,
            opinion=judged.opinion,
            decision=explained(judged, self.tree),
            options=options_of(at.config, judged.seen, judged.decision),
            gate=gate,
        )

    async def _tell_troubles(self, fence: int) -> None:
        """Slices whose figures cannot be used have a key that says why, for as long as it lasts: events follow."""
        told = {keys.parts(item.key)[0] for item in self._state.items(keys.SCALING_TROUBLES)}
        lasting = {name for name, memory in self._memories.items() if memory.trouble_s >= TROUBLE_S}
        for name in sorted(lasting - told):
            load = self._loads.get(name)
            why = load.missing if load is not None else NOT_HERE
            self._log.warning("scaling_held", slice=name, reason=why)
            await self._journal.hold(name, why, fence)
        for name in sorted(told - {each for each, memory in self._memories.items() if memory.trouble_s}):
            self._log.info("scaling_resumed", slice=name)
            await self._journal.resume(name, fence)

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def _mark(self, record: DecisionRecord) -> None:
        """Where the counts stood, to tell later what came since."""
        memory = self._memories.get(record.slice)
        if memory is not None and record.kind == "change":
            self._marks[record.id] = (memory.called_s, memory.violated_s)

    def _outcome(self, due: Due) -> DecisionOutcome:
        at, load = self.standings().get(due.slice), self._loads.get(due.slice)
        if at is None or load is None:
            return DecisionOutcome(after_min=due.after_min)
        figures = load.figures
        return DecisionOutcome(
            after_min=due.after_min,
            rate=round(load.rate, 3) if load.rate is not None else None,
            serving=at.serving,
            wanted=at.wanted,
            latency_p95_ms=load.latency_p95_ms,
            errors_share=round(figures.errors / figures.calls, 4) if figures is not None and figures.calls else None,
            violated_share=self._violated_share(due),
        )

    def _violated_share(self, due: Due) -> float | None:
        """None after a change of the leader, or when nobody called."""
        identity = due.key.rpartition("/")[2]
        is_last = due.after_min == OUTCOME_MINUTES[-1]
        mark = self._marks.pop(identity, None) if is_last else self._marks.get(identity)
        memory = self._memories.get(due.slice)
        if mark is None or memory is None or memory.called_s <= mark[0]:
            return None
        return round((memory.violated_s - mark[1]) / (memory.called_s - mark[0]), 4)
