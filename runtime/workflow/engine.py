"""The engine: all runs that have not ended, carried out by the leader and by nobody else."""

from __future__ import annotations

from collections.abc import Set
from typing import Final, TypeVar

import anyio
import msgspec

from runtime.consensus.errors import StoreFault
from runtime.consensus.store import (
    Compare,
    KeyValue,
    Revision,
    WatchEvent,
    absent,
    unchanged,
)
from runtime.state import keys
from runtime.state.values import decode
from runtime.workflow import outcomes
from runtime.workflow.case import Case
from runtime.workflow.decide import NOT_BEGUN
from runtime.workflow.driver import Driver
from runtime.workflow.errors import Deposed
from runtime.workflow.limits import EFFECTS_MAX
from runtime.workflow.lock_desk import LockDesk
from runtime.workflow.obeying import KERNEL, follows
from runtime.workflow.pen import Clash, Pen, order_of
from runtime.workflow.ports import WorkflowPorts
from runtime.workflow.reading import everything
from runtime.workflow.records import LockRecord, RunOrder, RunRecord, RunState, SignalRecord, StepRecord
from runtime.workflow.trimming import trim

TRIM_S: Final = 60.0
TRIM_ENDED: Final = 128  # so many ended runs are not waited for
_RecordT = TypeVar("_RecordT", RunRecord, SignalRecord, LockRecord)
UNDER_WAY: Final = frozenset({RunState.RUNNING, RunState.COMPENSATING})


class WorkflowEngine:
    """`run` is a leader service: it takes over what any engine before it left, wherever that was."""

    def __init__(self, ports: WorkflowPorts) -> None:
        self._ports = ports

    async def run(self, fence: Revision) -> None:
        """Never returns. Raises StoreFault when what it wrote may not have been written, or another leads: its effects
        have been stopped then."""
        await _Leading(self._ports, fence).run()


class _Leading:
    """What one leadership knows. An error of one run's store access ends it as a whole: all is read anew."""

    def __init__(self, ports: WorkflowPorts, fence: Revision) -> None:
        self._ports = ports
        self._fence = fence
        self._drivers: dict[str, Driver] = {}
        self._signals: dict[str, dict[str, SignalRecord]] = {}
        """By run, those that came before the run did."""
        self._limiter = anyio.CapacityLimiter(EFFECTS_MAX)
        self._fault: StoreFault | None = None
        self._ended = 0
        self._trim_now = anyio.Event()

    async def run(self) -> None:
        runs = await everything(self._ports.store, keys.RUNS)
        revision = runs.revision
        orders, signals, locks = [
            await everything(self._ports.store, prefix, revision)
            for prefix in (keys.RUN_ORDERS, keys.RUN_SIGNALS, keys.RUN_LOCKS)
        ]
        self._pen = Pen(
            store=self._ports.store,
            fence=self._fence,
            revision=revision,
            trail=self._ports.trail,
            log=self._ports.log,
        )
        readable = [item for item in locks.items if self._read(item, LockRecord) is not None]
        self._locks = LockDesk(pen=self._pen, clock=self._ports.clock, ring=self._ring, items=readable)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for item in signals.items:
                self._take_signal(item)
            for item in runs.items:
                self._take_run(item)
            for item in orders.items:
                self._take_order(item)
            tasks.start_soon(self._watched, revision)
            tasks.start_soon(self._trimmed)
        if self._fault is not None:
            raise self._fault

    # -- what the store tells ------------------------------------------------------------------------------------------

    async def _watched(self, revision: Revision) -> None:
        prefixes = (keys.RUNS, keys.RUN_ORDERS, keys.RUN_SIGNALS)
        try:
            async for batch in self._ports.store.watch(prefixes, from_revision=Revision(revision + 1)):
                self._pen.revision = max(self._pen.revision, batch.revision)
                for event in batch.events:
                    self._take(event)
        except StoreFault as error:
            self._stop(error)

    def _take(self, event: WatchEvent) -> None:
        key = event.item.key
        if event.kind == "delete":
            if key.startswith(keys.RUNS):
                self._signals.pop(key.removeprefix(keys.RUNS), None)
        elif key.startswith(keys.RUNS):
            if event.item.version == 1:  # what came after it was written here, and may be told after the run's end
                self._take_run(event.item)
        elif key.startswith(keys.RUN_ORDERS):
            self._take_order(event.item)
        else:
            self._take_signal(event.item)

    def _take_run(self, item: KeyValue) -> None:
        """One that has not ended begins or goes on."""
        identity = item.key.removeprefix(keys.RUNS)
        if identity in self._drivers:
            return
        record = self._read(item, RunRecord)
        if record is None or record.ended:
            self._ended += int(record is not None)
            return
        case = Case(run=record, revision=item.mod_revision, signals=self._signals.pop(identity, {}))
        driver = Driver(
            case,
            ports=self._ports,
            pen=self._pen,
            locks=self._locks,
            limiter=self._limiter,
            family=self._family,
        )
        self._drivers[identity] = driver
        self._note_family(case)
        self._tasks.start_soon(self._drive, driver)

    def _take_order(self, item: KeyValue) -> None:
        driver = self._drivers.get(item.key.removeprefix(keys.RUN_ORDERS))
        order = order_of(item)
        if driver is None or order is None or item.mod_revision <= driver.case.order_revision:
            return
        driver.case.ordered(order, item.mod_revision)
        driver.ring()

    def _take_signal(self, item: KeyValue) -> None:
        identity, _, name = item.key.removeprefix(keys.RUN_SIGNALS).partition("/")
        record = self._read(item, SignalRecord)
        if record is None:
            return
        driver = self._drivers.get(identity)
        if driver is None:
            self._signals.setdefault(identity, {})[name] = record
        else:
            driver.case.signals[name] = record
            driver.ring()

    def _ring(self, identity: str) -> None:
        driver = self._drivers.get(identity)
        if driver is not None:
            driver.ring()

    # -- runs ----------------------------------------------------------------------------------------------------------

    async def _drive(self, driver: Driver) -> None:
        case = driver.case
        try:
            await self._take_over(case)
            await driver.drive()
        except StoreFault as error:
            self._stop(error)
            return
        except msgspec.DecodeError as error:
            self._ports.log.warning("run_unreadable", key=case.run.id, reason=str(error))
            return
        del self._drivers[case.run.id]
        parent = self._drivers.get(case.run.parent)
        if parent is not None:
            parent.case.children.discard(case.run.id)
            parent.ring()
        self._ended += 1
        if self._ended >= TRIM_ENDED:
            self._trim_now.set()

    async def _take_over(self, case: Case) -> None:
        """Reads its steps. From the first write on, what an earlier engine still has under way cannot be written."""
        if case.run.state in (RunState.QUEUED, RunState.BLOCKED):
            return
        steps = await everything(self._ports.store, keys.steps_of(case.run.id))
        found = [(decode(item.value, StepRecord), item.mod_revision) for item in steps.items]
        case.steps = {step.number: step for step, _ in found}
        if case.run.state not in UNDER_WAY:
            return
        outcomes.taken_over(case)
        held: list[Compare] = [
            unchanged(keys.run_step(case.run.id, step.number), revision) for step, revision in found if not _over(step)
        ]
        held.append(absent(keys.run_step(case.run.id, case.newest + 1)))
        if isinstance(await self._pen.write(case, compare=held), Clash):
            raise Deposed(f"run {case.run.id} was written by another")

    def _note_family(self, case: Case) -> None:
        """Ids tell the order in which runs were made, but clocks of two nodes may not: either may be read first."""
        parent = self._drivers.get(case.run.parent)
        if parent is not None:
            parent.case.children.add(case.run.id)
        case.children.update(each for each, other in self._drivers.items() if case.run.id == other.case.run.parent)
        if parent is not None:
            _hold(case, parent.case)
        for each in case.children:
            _hold(self._drivers[each].case, case)

    def _family(self, case: Case) -> Set[str]:
        found: set[str] = set()
        parent = case.run.parent
        while parent in self._drivers and parent not in found:
            found.add(parent)
            parent = self._drivers[parent].case.run.parent
        return found

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def _trimmed(self) -> None:
        try:
            while True:
                with anyio.move_on_after(TRIM_S):
                    await self._trim_now.wait()
                self._trim_now, self._ended = anyio.Event(), 0
                await trim(self._ports, self._fence)
        except StoreFault as error:
            self._stop(error)

    def _stop(self, fault: StoreFault) -> None:
        """Ends all effects at once: what is not known to be written must be read."""
        self._fault = self._fault or fault
        self._tasks.cancel_scope.cancel()

    def _read(self, item: KeyValue, kind: type[_RecordT]) -> _RecordT | None:
        """None for one that only a newer version can read: it is left to that."""
        try:
            return decode(item.value, kind)
        except msgspec.DecodeError as error:
            self._ports.log.warning("run_unreadable", key=item.key, reason=str(error))
            return None


def _hold(child: Case, parent: Case) -> None:
    """A run whose start was asked for just before its parent was paused: it is held before its first step."""
    order = follows(parent, RunOrder(order="pause", by=KERNEL))
    if child.run.state in NOT_BEGUN and child.order is None and order is not None:
        child.ordered(order, child.order_revision)


def _over(step: StepRecord) -> bool:
    """Nobody writes it any more."""
    return bool(step.ended_unix_ms) and (not step.undo or step.undo_state == "done")
