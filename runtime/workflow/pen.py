"""How the engine writes: one transaction for all that is staged of a run, which the leader alone can make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio
import msgspec

from runtime.cluster.membership import Lines
from runtime.consensus.errors import QuotaExceeded
from runtime.consensus.store import (
    LEADER_KEY,
    Compare,
    Get,
    KeyValue,
    Operation,
    Revision,
    Store,
    TxnResult,
    led_by,
    unchanged,
)
from runtime.state import keys
from runtime.state.values import decode
from runtime.workflow.case import NOTHING_YET, Case, Note
from runtime.workflow.errors import Deposed
from runtime.workflow.records import RunOrder

Trail = Callable[[Note], Sequence[Operation]]
"""What writes a note into the audit."""
FULL_RETRY_S: Final = 1.0


class Clash(msgspec.Struct, frozen=True):
    """A comparison did not hold; what the reread keys hold now."""

    items: tuple[KeyValue | None, ...]


class Pen:
    """Of one leadership. `revision` is the newest that is known of the store."""

    def __init__(self, *, store: Store, fence: Revision, revision: Revision, trail: Trail, log: Lines) -> None:
        self._store = store
        self._fence = fence
        self._trail = trail
        self._log = log
        self.revision = revision

    async def write(
        self, case: Case, *, compare: Sequence[Compare] = (), also: Sequence[Operation] = (), reread: Sequence[str] = ()
    ) -> Revision | Clash:
        """The revision that wrote it, or why nothing was written: one of `compare` did not hold.

        Raises Deposed when another wrote the run or leads, StoreFault when it is not known whether it was written: then
        whoever leads must read everything anew.
        """
        while True:
            held = [led_by(self._fence), unchanged(keys.run(case.run.id), case.revision), *compare]
            if case.is_order_done:
                held.append(unchanged(keys.run_order(case.run.id), case.order_revision))
            result = await self._write(case, held, also, reread)
            if result.succeeded:
                case.written(result.revision)
                return result.revision
            leader, run, order, *others = result.gets
            if _revision(leader) != self._fence or _revision(run) != case.revision:
                raise Deposed(f"run {case.run.id} was written by another")
            if not case.is_order_done or _revision(order) == case.order_revision:
                return Clash(tuple(others))
            case.ordered(order_of(order), _revision(order))

    async def _write(
        self, case: Case, held: Sequence[Compare], also: Sequence[Operation], reread: Sequence[str]
    ) -> TxnResult:
        """A kind of key that is full keeps the run waiting: trimming makes room."""
        told = [operation for note in case.notes for operation in self._trail(note)]
        seen = [Get(key=LEADER_KEY), Get(key=keys.run(case.run.id)), Get(key=keys.run_order(case.run.id))]
        seen += [Get(key=each) for each in reread]
        while True:
            try:
                result = await self._store.txn(held, [*case.writes(), *told, *also], seen)
            except QuotaExceeded as error:
                self._log.warning("run_not_written", run=case.run.id, reason=str(error))
                await anyio.sleep(FULL_RETRY_S)
                continue
            self.revision = max(self.revision, result.revision)
            return result


def order_of(item: KeyValue | None) -> RunOrder | None:
    """None also for one that only a newer version can read."""
    if item is None or not item.value:
        return None
    try:
        return decode(item.value, RunOrder)
    except msgspec.DecodeError:
        return None


def _revision(item: KeyValue | None) -> Revision:
    return item.mod_revision if item is not None else NOTHING_YET
