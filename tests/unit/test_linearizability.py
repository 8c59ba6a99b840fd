"""The checker accepts what one order explains, and names what none does."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.linearizability import History, Operation, Recorder, RecordingStore, check
from evals.linearizability.history import (
    Answer,
    Changed,
    Done,
    Found,
    Granted,
    Listed,
    ReadKey,
    ReadRange,
    Refused,
    Request,
)
from evals.linearizability.search import search
from runtime.consensus import commands as c
from runtime.consensus.machine import Machine
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import (
    Compare,
    Delete,
    Get,
    GetResult,
    KeyValue,
    LeaseId,
    Put,
    RangeResult,
    Revision,
    TxnResult,
    absent,
    unchanged,
)


def item(value: bytes, mod: int, *, created: int = 0, version: int = 1, lease: int = 0, key: str = "k") -> KeyValue:
    return KeyValue(
        key=key,
        value=value,
        create_revision=Revision(created or mod),
        mod_revision=Revision(mod),
        version=version,
        lease=LeaseId(lease),
    )


def put(value: bytes, *compare: Compare, lease: int = 0, key: str = "k") -> c.Txn:
    return c.Txn(tuple(compare), (Put(key=key, value=value, lease=LeaseId(lease)),))


def changed(revision: int, *gets: KeyValue | None, succeeded: bool = True) -> Changed:
    return Changed(TxnResult(succeeded=succeeded, revision=Revision(revision), gets=gets))


def found(shown: KeyValue | None, revision: int) -> Found:
    return Found(GetResult(item=shown, revision=Revision(revision)))


def did(began_s: float, ended_s: float | None, request: Request, answer: Answer | None, client: str = "c") -> Operation:
    return Operation(client=client, began_s=began_s, ended_s=ended_s, request=request, answer=answer)


def history(*operations: Operation) -> History:
    return History(list(operations))


K = ReadKey("k")
A1 = item(b"a", 1)
B2 = item(b"b", 2, created=1, version=2)

REFUSED = {
    "a read gives what was replaced before it began": history(
        did(0, 1, put(b"a"), changed(1)), did(2, 3, put(b"b"), changed(2)), did(4, 5, K, found(A1, 1))
    ),
    "a read gives what was replaced, and lies about the revision": history(
        did(0, 1, put(b"a"), changed(1)), did(2, 3, put(b"b"), changed(2)), did(4, 5, K, found(A1, 2))
    ),
    "two swaps of one value both succeed": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 4, put(b"b", unchanged("k", Revision(1))), changed(2)),
        did(2, 4, put(b"c", unchanged("k", Revision(1))), changed(3)),
    ),
    "an acknowledged write is gone": history(did(0, 1, put(b"a"), changed(1)), did(2, 3, K, found(None, 1))),
    "an acknowledged write is gone later": history(did(0, 1, put(b"a"), changed(1)), did(2, 3, K, found(None, 4))),
    "a write is applied twice": history(
        did(0, 1, put(b"a"), changed(1)), did(2, 3, K, found(item(b"a", 2, created=1, version=2), 2))
    ),
    "a write of unknown outcome is applied twice": history(
        did(0, None, put(b"a"), None),
        did(2, 3, K, found(A1, 1)),
        did(4, 5, K, found(item(b"a", 2, created=1, version=2), 2)),
    ),
    "a read shows a write of the branch that was not taken": history(
        did(0, 1, c.Txn((absent("x"),), (), (Put(key="k", value=b"a"),)), changed(0)), did(2, 3, K, found(A1, 1))
    ),
    "a read shows what nobody wrote": history(did(0, 1, K, found(A1, 1))),
    "a read shows what is written only after it": history(did(0, 1, K, found(A1, 1)), did(2, None, put(b"a"), None)),
    "a condition held that could not": history(
        did(0, 1, put(b"a"), changed(1)), did(2, 3, put(b"b", absent("k")), changed(2))
    ),
    "a condition failed that held": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, put(b"b", unchanged("k", Revision(1))), changed(1, succeeded=False)),
    ),
    "two writes have one revision": history(did(0, 1, put(b"a"), changed(1)), did(0, 1, put(b"b"), changed(1))),
    "a range shows half of a transaction": history(
        did(0, 1, c.Txn((), (Put(key="k", value=b"a"), Put(key="l", value=b"a"))), changed(1)),
        did(2, 3, ReadRange(""), Listed(RangeResult(items=(A1,), revision=Revision(1)))),
    ),
    "a transaction's own read shows the past": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, c.Txn((), (Get(key="k"), Put(key="k", value=b"b"))), changed(2, None)),
    ),
    "a key goes before its lease can end": history(
        did(0, 1, c.Grant(5_000), Granted(LeaseId(7))),
        did(1, 2, put(b"a", lease=7), changed(1)),
        did(3, 4, K, found(None, 2)),
    ),
    "a lease that was kept ends by its first time": history(
        did(0, 1, c.Grant(5_000), Granted(LeaseId(7))),
        did(1, 2, put(b"a", lease=7), changed(1)),
        did(4, 4.5, c.KeepAlive(LeaseId(7)), Done()),
        did(7, 8, K, found(None, 2)),
    ),
    "a lease is refused before it can have ended": history(
        did(0, 1, c.Grant(5_000), Granted(LeaseId(7))),
        did(2, 3, c.KeepAlive(LeaseId(7)), Refused("lease_not_found")),
    ),
    "a stale read shows what never was": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, ReadKey("k", stale_ok=True), found(item(b"x", 1), 1)),
    ),
    "a read of the past shows the present": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, put(b"b"), changed(2)),
        did(4, 5, ReadKey("k", Revision(1)), found(B2, 2)),
    ),
}

ACCEPTED = {
    "nothing happens": history(),
    "a read sees the write that it overlaps": history(did(0, 5, put(b"a"), changed(1)), did(1, 2, K, found(A1, 1))),
    "a read misses the write that it overlaps": history(did(0, 5, put(b"a"), changed(1)), did(1, 2, K, found(None, 0))),
    "a write of unknown outcome takes effect late": history(
        did(0, None, put(b"a"), None), did(1, 2, K, found(None, 0)), did(3, 4, K, found(A1, 1))
    ),
    "a write of unknown outcome never takes effect": history(
        did(0, None, put(b"a"), None), did(1, 2, K, found(None, 0))
    ),
    "a key goes once its lease may have ended": history(
        did(0, 1, c.Grant(1_000), Granted(LeaseId(7))),
        did(1, 2, put(b"a", lease=7), changed(1)),
        did(3, 4, K, found(None, 2)),
    ),
    "a key goes with its lease": history(
        did(0, 1, c.Grant(60_000), Granted(LeaseId(7))),
        did(1, 2, put(b"a", lease=7), changed(1)),
        did(2, None, c.Revoke(LeaseId(7)), None),
        did(3, 4, K, found(None, 2)),
    ),
    "a deletion finds nothing, at the revision of another": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, c.Txn((), (Delete(key="k"),)), changed(2)),
        did(4, 5, c.Txn((unchanged("k", Revision(0)),), (Delete(key="k"),)), changed(2)),
    ),
    "a stale read shows the past": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, put(b"b"), changed(2)),
        did(4, 5, ReadKey("k", stale_ok=True), found(A1, 1)),
    ),
    "a read of the past": history(
        did(0, 1, put(b"a"), changed(1)),
        did(2, 3, put(b"b"), changed(2)),
        did(4, 5, ReadKey("k", Revision(1)), found(A1, 2)),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_found_that(name: str) -> None:
    """A miss here: a store that did this would pass as proven."""
    verdict = check(REFUSED[name])
    assert verdict.result == "violated"
    assert verdict.operations
    assert len(str(verdict).splitlines()) == len(verdict.operations) + 1


@pytest.mark.parametrize("name", ACCEPTED)
def test_it_is_allowed_that(name: str) -> None:
    verdict = check(ACCEPTED[name])
    assert verdict.ok, str(verdict)


BY_SEARCH = [
    "a read gives what was replaced before it began",
    "two swaps of one value both succeed",
    "an acknowledged write is gone",
    "a write is applied twice",
    "a write of unknown outcome is applied twice",
    "a read shows what nobody wrote",
    "a read shows what is written only after it",
    "a condition held that could not",
    "a condition failed that held",
    "a range shows half of a transaction",
    "a transaction's own read shows the past",
]


@pytest.mark.parametrize("name", BY_SEARCH)
def test_the_search_alone_finds_that(name: str) -> None:
    """The two checks are independent of one another."""
    offence = search(REFUSED[name], 10_000)
    assert offence is not None
    assert "no order" in str(offence)


def test_only_what_matters_is_shown() -> None:
    bystanders = [did(at, at + 0.5, ReadKey("other"), found(None, min(at, 1))) for at in range(20)]
    readers = [did(at + 2.1, at + 2.2, K, found(A1, 1)) for at in range(3)]
    bad = did(10, 11, K, found(None, 1), client="reader")
    verdict = check(history(did(0, 1, put(b"a"), changed(1)), *readers, *bystanders, bad))
    assert verdict.operations[-1] == bad
    assert len(verdict.operations) <= 3
    assert "reader |" in str(verdict)


# -- random histories --------------------------------------------------------------------------------------------------

KEYS = ("k", "k/1", "l")


def _request(rng: random.Random, machine: Machine) -> Request:
    key = rng.choice(KEYS)
    write = rng.choice((Put(key=key, value=bytes([rng.randrange(3)])), Delete(key=key)))
    at = machine.keys.get(key)
    compare = unchanged(key, at.mod_revision if at is not None and rng.random() < 0.7 else Revision(rng.randrange(3)))
    other = rng.choice(KEYS)
    return rng.choice(
        (
            ReadKey(key),
            ReadKey(key, Revision(max(1, machine.revision - rng.randrange(4)))),
            ReadRange("k", limit=rng.choice((1, 1000))),
            c.Txn((), (write,)),
            c.Txn((compare,), (write, Get(key=other)), (Get(key=key),)),
            c.Txn((Compare(key=other, field="version", op=">", operand=0),), (Put(key=key, value=b"x"), Get(key=key))),
            c.Txn((), (Delete(key="k", prefix=True), Put(key="l", value=b"y"))),
        )
    )


async def _answer(store: MemoryStore, request: Request) -> Answer:
    match request:
        case ReadKey():
            return Found(await store.get(request.key, at_revision=request.at_revision))
        case ReadRange():
            return Listed(await store.range(request.prefix, limit=request.limit))
        case c.Txn():
            return Changed(await store.txn(request.compare, request.then, request.otherwise))
    raise AssertionError(request)


def made(seed: int, *, length: int = 40, unknown: float = 0.15) -> History:
    """Of an order that did happen: each operation takes effect at its own moment, between its begin and its end."""
    rng = random.Random(seed)
    store, history = MemoryStore(), History()

    async def run() -> None:
        for moment in range(1, length + 1):
            request = _request(rng, store.engine.machine)
            began_s = moment - rng.uniform(0, 6)
            if rng.random() < unknown and isinstance(request, c.Txn):
                if rng.random() < 0.5:
                    await _answer(store, request)
                history.add(did(began_s, None, request, None, f"c{moment}"))
                continue
            answer = await _answer(store, request)
            history.add(did(began_s, moment + rng.uniform(0, 6), request, answer, f"c{moment}"))

    asyncio.run(run())
    rng.shuffle(history.operations)
    return history


STEPS = 4_000_000  # seed 408 takes more than the checker's own 200,000, and four seconds


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_what_happened_in_one_order_is_always_accepted(seed: int) -> None:
    verdict = check(made(seed), steps_max=STEPS)
    assert verdict.ok, str(verdict)


def _replaced(history: History, old: Operation, new: Operation) -> History:
    return History([new if each is old else each for each in history.operations])


def _damaged(history: History, rng: random.Random) -> History:
    """One answer of the history made impossible."""
    reads = [each for each in history.operations if isinstance(each.answer, Found) and each.answer.result.item]
    writes = [
        each
        for each in history.operations
        if isinstance(each.answer, Changed) and any(isinstance(write, Put) for write in each.writes)
    ]
    old = rng.choice(reads + writes)
    if isinstance(old.answer, Found):
        result = old.answer.result
        assert result.item is not None
        value = msgspec.structs.replace(result.item, value=b"never written")
        gone = msgspec.structs.replace(result, item=value)
        return _replaced(history, old, msgspec.structs.replace(old, answer=Found(gone)))
    twice = msgspec.structs.replace(old, client="twice")
    return History([*history.operations, twice])


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_one_impossible_answer_among_many_is_always_found(seed: int) -> None:
    assert check(_damaged(made(seed, unknown=0.0), random.Random(seed))).result == "violated"


@settings(max_examples=40)
@given(st.integers(0, 1 << 32))
def test_an_answer_that_comes_too_late_for_its_revision_is_always_found(seed: int) -> None:
    """As a member would give that believes that it still leads."""
    whole = made(seed, unknown=0.0)
    newest = max(each.revision or 0 for each in whole.operations)
    end_s = max(each.ended_s or 0.0 for each in whole.operations)
    old = next(each for each in whole.operations if each.revision is not None and each.revision < newest)
    late = msgspec.structs.replace(old, began_s=end_s + 1, ended_s=end_s + 2)
    assert check(_replaced(whole, old, late)).result == "violated"


def test_a_history_reads_back_as_it_was_written(tmp_path: Path) -> None:
    whole = made(7)
    whole.add(did(50, 51, c.Grant(5_000), Granted(LeaseId(1))))
    whole.add(did(52, 53, c.KeepAlive(LeaseId(2)), Refused("lease_not_found")))
    whole.add(did(54, 55, c.Revoke(LeaseId(1)), Done()))
    whole.save(tmp_path / "history.jsonl")
    assert History.load(tmp_path / "history.jsonl") == whole


def test_a_search_that_takes_too_long_says_so() -> None:
    """It must not pass for a proof."""
    writes = [did(0, 10, put(bytes([at])), changed(at + 1)) for at in range(9)]
    verdict = check(history(*writes), steps_max=5)
    assert verdict.result == "undecided"
    assert not verdict.ok


@pytest.mark.anyio
async def test_a_recording_store_notes_what_it_was_asked_and_told() -> None:
    store = MemoryStore()
    clock = itertools.count()
    recorder = Recorder(History(), lambda: float(next(clock)))
    recording = RecordingStore(store, recorder, "c1")
    await recording.txn([absent("k")], [Put(key="k", value=b"a")])
    await recording.get("k")
    await recording.range("k")
    lease = await recording.grant(1_000)
    await recording.keep_alive(lease)
    await recording.revoke(lease)
    store.engine.quorum = False
    with pytest.raises(Exception, match="quorum"):
        await recording.txn([], [Put(key="k", value=b"b")])
    with pytest.raises(Exception, match="quorum"):
        await recording.get("k")
    operations = recorder.history.operations
    assert [type(each.answer).__name__ for each in operations] == [
        "Changed", "Found", "Listed", "Granted", "Done", "Done", "NoneType"
    ]  # fmt: skip
    assert check(recorder.history).ok
