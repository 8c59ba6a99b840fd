"""The check by revision: answers say at which revision they are true, so their order is known and need not be sought.

Real time must agree with it, every write has a revision of its own, and the sightings of each key must fit one life.
"""

from __future__ import annotations

from collections import defaultdict

from evals.linearizability.explained import unexplained
from evals.linearizability.history import Changed, Found, History, Listed, Operation, ReadKey, ReadRange
from evals.linearizability.lives import Life, Offence, Sighting, Unfit
from runtime.consensus import commands as c
from runtime.consensus.store import Compare, Delete, Get, KeyValue, Put, Revision

__all__ = ["Offence", "check_order"]


def check_order(history: History, clock_error: float) -> Offence | None:
    """The first thing that is wrong, if any."""
    answered = [each for each in history.operations if each.revision is not None]
    if offence := _real_time(answered) or _own_revisions(answered):
        return offence
    try:
        lives = _lives(history)
    except Unfit as unfit:
        return unfit.offence
    return _branches(answered, lives) or unexplained(history, lives, clock_error)


def known_keys(history: History) -> list[str]:
    keys = {item.key for item in history.start}
    for each in history.operations:
        match each.request:
            case ReadKey(key):
                keys.add(key)
            case c.Txn():
                keys.update(compare.key for compare in each.request.compare)
                for operation in (*each.request.then, *each.request.otherwise):
                    if not (isinstance(operation, Delete) and operation.prefix):
                        keys.add(operation.key)
            case _:
                pass
        if isinstance(each.answer, Listed):
            keys.update(item.key for item in each.answer.result.items)
    return sorted(keys)


def touches(write: Put | Delete, key: str) -> bool:
    return write.key == key or (isinstance(write, Delete) and write.prefix and key.startswith(write.key))


def _real_time(answered: list[Operation]) -> Offence | None:
    """What ended before another began is at no later revision, and before what that one wrote."""
    fresh = [each for each in answered if not each.is_stale]
    ends = sorted(fresh, key=lambda each: each.ended_s or 0.0)
    newest: Operation | None = None
    at = 0
    for each in sorted(fresh, key=lambda each: each.began_s):
        while at < len(ends) and (ends[at].ended_s or 0.0) < each.began_s:
            if newest is None or _revision(ends[at]) > _revision(newest):
                newest = ends[at]
            at += 1
        if newest is None:
            continue
        if _revision(each) < _revision(newest):
            return Offence("an operation was answered at an older revision than one that had ended", (newest, each))
        if _puts(each) and _revision(each) == _revision(newest):
            return Offence("a write has a revision that was answered before it began", (newest, each))
    return None


def _own_revisions(answered: list[Operation]) -> Offence | None:
    writers: dict[Revision, Operation] = {}
    for each in answered:
        if _puts(each) and (other := writers.setdefault(_revision(each), each)) is not each:
            return Offence(f"two writes have revision {each.revision}", (other, each))
    return None


def _revision(operation: Operation) -> Revision:
    assert operation.revision is not None
    return operation.revision


def _puts(operation: Operation) -> bool:
    return any(isinstance(each, Put) for each in operation.writes)


# -- sightings ---------------------------------------------------------------------------------------------------------


def _lives(history: History) -> dict[str, Life]:
    keys = known_keys(history)
    sightings: dict[str, list[Sighting]] = defaultdict(list)
    started = {item.key: item for item in history.start}
    for key in keys:
        if not key.startswith("_"):
            sightings[key].append(_sighting(started.get(key), history.revision, None))
    for each in history.operations:
        for key, sighting in _seen(each, keys):
            sightings[key].append(sighting)
    return {key: Life(key, sightings[key]) for key in keys}


def _seen(operation: Operation, keys: list[str]) -> list[tuple[str, Sighting]]:
    match operation.request, operation.answer:
        case ReadKey(key, at), Found(result):
            return [(key, _sighting(result.item, at or result.revision, operation))]
        case ReadRange(), Listed():
            return _seen_below(operation, keys)
        case c.Txn(), Changed():
            return _seen_in_txn(operation, keys)
        case _:
            return []


def _seen_below(operation: Operation, keys: list[str]) -> list[tuple[str, Sighting]]:
    """What a range does not show between its ends is absent."""
    assert isinstance(operation.request, ReadRange)
    assert isinstance(operation.answer, Listed)
    result = operation.answer.result
    at = operation.request.at_revision or result.revision
    items = {item.key: item for item in result.items}
    return [
        (key, _sighting(items.get(key), at, operation)) for key in keys if _is_listed(key, operation.request, operation)
    ]


def _is_listed(key: str, request: ReadRange, operation: Operation) -> bool:
    assert isinstance(operation.answer, Listed)
    result = operation.answer.result
    if not key.startswith(request.prefix) or (request.after and key <= request.after):
        return False
    return not result.more or (bool(result.items) and key <= result.items[-1].key)


def _seen_in_txn(operation: Operation, keys: list[str]) -> list[tuple[str, Sighting]]:
    assert isinstance(operation.request, c.Txn)
    assert isinstance(operation.answer, Changed)
    txn, revision = operation.answer.txn, operation.answer.txn.revision
    found: list[tuple[str, Sighting]] = []
    for write in operation.writes:
        for key in keys if isinstance(write, Delete) and write.prefix else (write.key,):
            if isinstance(write, Put):
                found.append((key, Sighting(operation, revision, revision, mod=revision, put=write)))
            elif touches(write, key):
                found.append((key, Sighting(operation, revision, revision)))
    gets = iter(txn.gets)
    written: list[Put | Delete] = []
    for each in operation.request.then if txn.succeeded else operation.request.otherwise:
        if not isinstance(each, Get):
            written.append(each)
            continue
        item = next(gets, None)
        done = any(touches(write, each.key) for write in written)
        moments = [revision] if done else moments_before(operation, each.key)
        if len(moments) == 1:
            found.append((each.key, _sighting(item, moments[0], operation)))
    if txn.succeeded:
        found += _seen_in_comparisons(operation)
    return found


def _seen_in_comparisons(operation: Operation) -> list[tuple[str, Sighting]]:
    """A comparison for equality that held tells what was there."""
    assert isinstance(operation.request, c.Txn)
    found = []
    for compare in operation.request.compare:
        moments = moments_before(operation, compare.key)
        if compare.op != "==" or len(moments) != 1 or not isinstance(compare.operand, int):
            continue
        if compare.operand == 0:
            found.append((compare.key, Sighting(operation, moments[0], moments[0])))
        elif compare.field == "mod_revision":
            mod = Revision(compare.operand)
            found.append((compare.key, Sighting(operation, mod, moments[0], mod=mod)))
    return found


def _sighting(item: KeyValue | None, at: Revision, operation: Operation | None) -> Sighting:
    if item is None:
        return Sighting(operation, at, at)
    return Sighting(operation, item.mod_revision, at, mod=item.mod_revision, item=item)


def moments_before(operation: Operation, key: str) -> list[Revision]:
    """At which revision a transaction saw the key before it wrote. Two, when it may have deleted it or have found
    nothing to delete: then its revision is another's."""
    revision = _revision(operation)
    writes = operation.writes
    if not any(touches(each, key) for each in writes):
        return [revision]
    before = Revision(revision - 1)
    return [before] if _puts(operation) else [before, revision]


# -- branches ----------------------------------------------------------------------------------------------------------


def _branches(answered: list[Operation], lives: dict[str, Life]) -> Offence | None:
    """A transaction took the branch that its comparisons call for, as far as it is known what they compared."""
    for each in answered:
        if not isinstance(each.request, c.Txn) or not isinstance(each.answer, Changed):
            continue
        outcomes = [_outcome(each, compare, lives) for compare in each.request.compare]
        if each.answer.txn.succeeded and False in outcomes:
            return _wrong_branch(each, lives, "a transaction succeeded though a comparison did not hold")
        if not each.answer.txn.succeeded and all(outcomes):
            return _wrong_branch(each, lives, "a transaction failed though all its comparisons held")
    return None


def _outcome(operation: Operation, compare: Compare, lives: dict[str, Life]) -> bool | None:
    outcomes = {lives[compare.key].holds(compare, moment) for moment in moments_before(operation, compare.key)}
    return outcomes.pop() if len(outcomes) == 1 else None


def _wrong_branch(operation: Operation, lives: dict[str, Life], because: str) -> Offence:
    assert isinstance(operation.request, c.Txn)
    witnesses = [
        witness
        for compare in operation.request.compare
        for moment in moments_before(operation, compare.key)
        if (witness := lives[compare.key].witness(moment)) is not None and witness is not operation
    ]
    return Offence(because, (*dict.fromkeys(witnesses), operation))
