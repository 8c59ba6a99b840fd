"""What the store may do with one operation: from a state to those that its answer allows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from evals.linearizability.history import Changed, Found, Listed, Operation, ReadKey, ReadRange
from evals.linearizability.lives import compared
from runtime.consensus import commands as c
from runtime.consensus.store import NO_LEASE, Compare, Delete, Get, KeyValue, LeaseId, Put, Revision


@dataclass(frozen=True, slots=True)
class Item:
    """What is None was not told: the revision of a write that was never answered."""

    value: bytes
    lease: LeaseId
    version: int
    mod: Revision | None
    created: Revision | None


State = tuple[Item | None, ...]


class Model:
    """Of some keys. A state has an item or None for each, in their order."""

    def __init__(self, keys: Sequence[str], start: Iterable[KeyValue]) -> None:
        self._at = {key: at for at, key in enumerate(keys)}
        items = {item.key: item for item in start}
        self.start: State = tuple(_item(items.get(key)) for key in keys)

    def step(self, state: State, operation: Operation) -> set[State]:
        """The states after it. Empty: it cannot have been answered so in this one."""
        found: set[State] = set()
        for each in self._with_leases_ended(state, operation):
            match operation.request, operation.answer:
                case ReadKey(key), Found(result):
                    found.update(self._see(each, key, result.item))
                case ReadRange(), Listed():
                    found.update(self._see_all(each, operation))
                case c.Txn() as txn, Changed(result):
                    found.update(self._run(each, txn, result.succeeded, result.gets, result.revision))
                case c.Txn() as txn, None:
                    found.update(self._run(each, txn, True, None, None), self._run(each, txn, False, None, None))
                case _:
                    found.add(each)
        return found

    def _with_leases_ended(self, state: State, operation: Operation) -> Iterator[State]:
        """A lease may end at any moment here: when it must not is for the check by revision to say."""
        leased = [at for at in self._touched(operation) if (item := state[at]) is not None and item.lease != NO_LEASE]
        for count in range(len(leased) + 1):
            for ended in itertools.combinations(leased, count):
                yield tuple(None if at in ended else item for at, item in enumerate(state)) if ended else state

    def _touched(self, operation: Operation) -> list[int]:
        return [at for key, at in self._at.items() if is_touched(operation, key)]

    # -- reads ---------------------------------------------------------------------------------------------------------

    def _see(self, state: State, key: str, shown: KeyValue | None) -> list[State]:
        at = self._at[key]
        item = state[at]
        if item is None or shown is None:
            return [state] if item is None and shown is None else []
        told = _item(shown)
        assert told is not None
        same = (item.value, item.lease, item.version) == (told.value, told.lease, told.version)
        if not same or item.mod not in (None, told.mod) or item.created not in (None, told.created):
            return []
        return [(*state[:at], told, *state[at + 1 :])]

    def _see_all(self, state: State, operation: Operation) -> list[State]:
        assert isinstance(operation.answer, Listed)
        items = {item.key: item for item in operation.answer.result.items}
        for key in self._at:
            if is_touched(operation, key):
                seen = self._see(state, key, items.get(key))
                if not seen:
                    return []
                state = seen[0]
        return [state]

    # -- transactions --------------------------------------------------------------------------------------------------

    def _run(
        self,
        state: State,
        txn: c.Txn,
        succeeded: bool,
        gets: tuple[KeyValue | None, ...] | None,
        revision: Revision | None,
    ) -> list[State]:
        outcomes = [self._outcome(state, compare) for compare in txn.compare]
        if (succeeded and False in outcomes) or (not succeeded and all(outcomes)):
            return []
        shown = iter(gets or ())
        for each in txn.then if succeeded else txn.otherwise:
            if not isinstance(each, Get):
                state = self._write(state, each, revision)
            elif gets is not None:
                seen = self._see(state, each.key, next(shown, None))
                if not seen:
                    return []
                state = seen[0]
        return [state]

    def _outcome(self, state: State, compare: Compare) -> bool | None:
        """None when it compares what was not told."""
        item = state[self._at[compare.key]]
        if item is None:
            return compared(b"" if compare.field == "value" else 0, compare)
        found: dict[str, int | bytes | None] = {
            "value": item.value,
            "version": item.version,
            "mod_revision": item.mod,
            "create_revision": item.created,
        }
        known = found[compare.field]
        return None if known is None else compared(known, compare)

    def _write(self, state: State, write: Put | Delete, revision: Revision | None) -> State:
        changed = list(state)
        if isinstance(write, Delete):
            for key, at in self._at.items():
                if key == write.key or (write.prefix and key.startswith(write.key)):
                    changed[at] = None
            return tuple(changed)
        at = self._at[write.key]
        item = changed[at]
        fresh = Item(write.value, write.lease, 1, revision, revision)
        changed[at] = fresh if item is None else replace(fresh, version=item.version + 1, created=item.created)
        return tuple(changed)


def is_touched(operation: Operation, key: str) -> bool:
    match operation.request:
        case ReadKey():
            return operation.request.key == key
        case ReadRange():
            return _is_listed(operation, key)
        case c.Txn():
            txn = operation.request
            return any(compare.key == key for compare in txn.compare) or any(
                each.key == key or (isinstance(each, Delete) and each.prefix and key.startswith(each.key))
                for each in (*txn.then, *txn.otherwise)
            )
        case _:
            return False


def _is_listed(operation: Operation, key: str) -> bool:
    assert isinstance(operation.request, ReadRange)
    if not key.startswith(operation.request.prefix) or (operation.request.after and key <= operation.request.after):
        return False
    if not isinstance(operation.answer, Listed) or not operation.answer.result.more:
        return True
    items = operation.answer.result.items
    return bool(items) and key <= items[-1].key


def _item(item: KeyValue | None) -> Item | None:
    if item is None:
        return None
    return Item(item.value, item.lease, item.version, item.mod_revision, item.create_revision)
