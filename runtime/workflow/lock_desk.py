"""The locks of all runs, as the leader knows them: granted, waited for and freed together with the run's own record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from runtime.clock import Clock
from runtime.consensus.store import Compare, Delete, KeyValue, Operation, Put, Revision, unchanged
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow import outcomes
from runtime.workflow.case import NOTHING_YET, Case
from runtime.workflow.flow import StepError
from runtime.workflow.locks import Asked, Changes, ask, free, waiting_at, wishes
from runtime.workflow.pen import Clash, Pen
from runtime.workflow.records import LockRecord, RunState
from runtime.workflow.states import Event


class LockDesk:
    """ring: wakes a run that waits."""

    def __init__(self, *, pen: Pen, clock: Clock, ring: Callable[[str], None], items: Iterable[KeyValue]) -> None:
        self._pen = pen
        self._clock = clock
        self._ring = ring
        self._table: dict[str, LockRecord] = {}
        self._revisions: dict[str, Revision] = {}
        for item in items:
            self._take(item.key.removeprefix(keys.RUN_LOCKS), decode(item.value, LockRecord), item.mod_revision)

    async def take(self, case: Case, family: Set[str]) -> None:
        """Begins the run or blocks it, and writes that; where it may not wait, its end is staged. Raises StoreFault,
        Deposed."""
        names = list(wishes(case.run.locks))
        while True:
            before, asked = case.run, self._asked(case, family)
            self._stage(case, asked)
            if case.run.ended or not case.is_staged:
                return
            clash = await self._written(case, asked.changes, names)
            if clash is None:
                return
            case.back_to(before)
            self._refresh(names, clash)

    async def free(self, case: Case) -> None:
        """Writes what is staged of the run's end, without its locks. Raises StoreFault, Deposed."""
        while True:
            changes = free(self._table, case.run.id)
            clash = await self._written(case, changes, list(changes))
            if clash is None:
                return
            self._refresh(list(changes), clash)

    def _asked(self, case: Case, family: Set[str]) -> Asked:
        now, number = self._clock.unix_ms(), int(self._pen.revision)
        return ask(self._table, case.run, now_unix_ms=now, number=number, family=family)

    def _stage(self, case: Case, asked: Asked) -> None:
        now = self._clock.unix_ms()
        if asked.granted:
            number = int(self._pen.revision)
            outcomes.set_off(case, now, dict.fromkeys(wishes(case.run.locks), number))
            return
        told = f"waits for the locks of {', '.join(asked.behind)}"
        if not any(each is not None and _waits(each, case.run.id) for each in self._after(asked.changes)):
            error = StepError(code="lock_conflict", detail=f"{told}, and it may not wait")
            outcomes.end(case, RunState.FAILED, now, result={}, error=error)
        elif case.run.state is RunState.QUEUED:
            outcomes.move_run(case, Event.BLOCK, reason=told)
        else:
            case.change_run(reason=told)

    def _after(self, changes: Changes) -> Iterable[LockRecord | None]:
        return ({**self._table, **changes}).values()

    async def _written(self, case: Case, changes: Changes, names: list[str]) -> Clash | None:
        held: list[Compare] = [unchanged(keys.run_lock(each), self._revision(each)) for each in names]
        also: list[Operation] = [
            Put(key=keys.run_lock(name), value=encode(lock)) if lock is not None else Delete(key=keys.run_lock(name))
            for name, lock in changes.items()
        ]
        found = await self._pen.write(case, compare=held, also=also, reread=[keys.run_lock(each) for each in names])
        if isinstance(found, Clash):
            return found
        self._apply(changes, found)
        return None

    def _apply(self, changes: Changes, revision: Revision) -> None:
        for name, lock in changes.items():
            self._take(name, lock, revision)
        for run in waiting_at(changes):
            self._ring(run)

    def _refresh(self, names: list[str], clash: Clash) -> None:
        for name, item in zip(names, clash.items, strict=True):
            lock = decode(item.value, LockRecord) if item is not None else None
            self._take(name, lock, item.mod_revision if item is not None else NOTHING_YET)

    def _take(self, name: str, lock: LockRecord | None, revision: Revision) -> None:
        if lock is None:
            self._table.pop(name, None)
            self._revisions.pop(name, None)
        else:
            self._table[name], self._revisions[name] = lock, revision

    def _revision(self, name: str) -> Revision:
        return self._revisions.get(name, NOTHING_YET)


def _waits(lock: LockRecord, run: str) -> bool:
    return any(each.run == run for each in lock.waiters)
