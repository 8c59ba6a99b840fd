"""Who may have which locks: all that a run wants or none, in the order in which runs came.

Pure: a change of the table is answered as the records that become different. A run takes its place at all its locks
in one transaction, so the places agree, and the first of those that wait waits for holders alone. Holders wait for no
lock: a run asks once, before its first step, and a child that wants more than its family has is granted that at once or
not at all. So nothing waits in a circle; and as nobody passes an earlier run that it conflicts with, nobody waits for
ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Final

import msgspec

from runtime.workflow.records import LockHolder, LockMode, LockRecord, LockWaiter, LockWish, RunRecord

Table = Mapping[str, LockRecord]
Changes = dict[str, LockRecord | None]
"""None: nobody has the lock or waits for it any more."""
NOBODY: Final = LockRecord(name="")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """`behind` are the runs that stand in the way; empty when the locks are granted."""

    granted: bool
    changes: Changes
    behind: tuple[str, ...] = ()


def wishes(locks: Iterable[LockWish]) -> dict[str, LockMode]:
    """By name, in order; the stronger of two of one name."""
    found: dict[str, LockMode] = {}
    for wish in locks:
        if found.get(wish.name) != "exclusive":
            found[wish.name] = wish.mode
    return dict(sorted(found.items()))


def ask(table: Table, run: RunRecord, *, now_unix_ms: int, number: int, family: Set[str] = frozenset()) -> Asked:
    """Locks for a run, or a place among those that wait.

    number: of the grant, larger than that of any grant before which is over. family: the run's open ancestors; what
    they hold, it may hold too, and it never waits.
    """
    wanted = wishes(run.locks)
    behind = [
        each for name, mode in wanted.items() for each in in_the_way(table.get(name, NOBODY), run.id, mode, family)
    ]
    if not behind:
        holder = {name: _holder(run.id, mode, number, now_unix_ms) for name, mode in wanted.items()}
        return Asked(granted=True, changes={name: _held(table, name, holder[name]) for name in wanted})
    told = tuple(dict.fromkeys(behind))
    if family or run.on_conflict == "reject":
        return Asked(granted=False, changes=free(table, run.id), behind=told)
    waiting = {name: _waiting(table, name, run.id, mode, now_unix_ms) for name, mode in wanted.items()}
    changed: Changes = {name: record for name, record in waiting.items() if record != table.get(name)}
    return Asked(granted=False, changes=changed, behind=told)


def in_the_way(lock: LockRecord, run: str, mode: LockMode, family: Set[str]) -> list[str]:
    """Those that the run must wait for at this lock: holders it conflicts with, and such as came before it. What an
    ancestor holds strongly enough is the run's too, whoever waits for it."""
    others = [each for each in lock.holders if each.run != run]
    ours = [each for each in others if each.run in family]
    in_way = [each.run for each in others if _conflict(each.mode, mode) and not _lent(each, mode, family)]
    if ours:
        return in_way
    for waiter in lock.waiters:
        if waiter.run == run:
            break
        if _conflict(waiter.mode, mode):
            in_way.append(waiter.run)
    return in_way


def free(table: Table, run: str) -> Changes:
    """The table without the run, whether it had locks or waited."""
    changes: Changes = {}
    for name, lock in table.items():
        holders = tuple(each for each in lock.holders if each.run != run)
        waiters = tuple(each for each in lock.waiters if each.run != run)
        if len(holders) != len(lock.holders) or len(waiters) != len(lock.waiters):
            changes[name] = LockRecord(name=name, holders=holders, waiters=waiters) if holders or waiters else None
    return changes


def waiting_at(changes: Changes) -> list[str]:
    """Runs that may be next, now that these locks have changed."""
    return [each.run for lock in changes.values() if lock is not None for each in lock.waiters]


def _conflict(one: LockMode, other: LockMode) -> bool:
    return "exclusive" in (one, other)


def _lent(holder: LockHolder, mode: LockMode, family: Set[str]) -> bool:
    return holder.run in family and (holder.mode == "exclusive" or mode == "shared")


def _holder(run: str, mode: LockMode, number: int, now_unix_ms: int) -> LockHolder:
    return LockHolder(run=run, mode=mode, number=number, since_unix_ms=now_unix_ms)


def _held(table: Table, name: str, holder: LockHolder) -> LockRecord:
    lock = table.get(name, NOBODY)
    holders = tuple(each for each in lock.holders if each.run != holder.run)
    waiters = tuple(each for each in lock.waiters if each.run != holder.run)
    return LockRecord(name=name, holders=(*holders, holder), waiters=waiters)


def _waiting(table: Table, name: str, run: str, mode: LockMode, now_unix_ms: int) -> LockRecord:
    lock = table.get(name, NOBODY)
    if any(each.run == run for each in lock.waiters):
        return lock
    waiter = LockWaiter(run=run, mode=mode, since_unix_ms=now_unix_ms)
    return LockRecord(name=name, holders=lock.holders, waiters=(*lock.waiters, waiter))
