"""The state machine: the same commands give the same state, and every promise of the Store protocol holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.consensus import commands as c
from runtime.consensus.errors import Compacted
from runtime.consensus.history import BATCHES_MAX
from runtime.consensus.machine import Machine
from runtime.consensus.sessions import RESULTS_MAX, SESSIONS_MAX
from runtime.consensus.store import Compare, Delete, Get, LeaseId, Put, Revision, absent, unchanged

KEYS = [f"k/{letter}" for letter in "abcde"]
keys = st.sampled_from(KEYS)
values = st.binary(max_size=12)
operations = st.one_of(
    st.builds(lambda key, value: Put(key=key, value=value), keys, values),
    st.builds(lambda key: Delete(key=key), keys),
    st.builds(lambda key: Get(key=key), keys),
)


def batches_of(size: int) -> st.SearchStrategy[list]:
    """Of operations that write no key twice."""
    return st.lists(operations, min_size=1, max_size=size, unique_by=lambda each: (each.key, isinstance(each, Get)))


def apply(machine: Machine, command: c.Command, session: int = 0, sequence: int = 0, settled: int = 0) -> c.Result:
    return machine.apply(c.encode(c.Envelope(command, session, sequence, settled)))


def opened(machine: Machine) -> int:
    result = apply(machine, c.OpenSession())
    assert isinstance(result, c.Applied)
    return result.session


def txn(machine: Machine, *operations: object, compare: tuple[Compare, ...] = ()) -> c.Applied:
    result = apply(machine, c.Txn(compare, operations))  # type: ignore[arg-type]
    assert isinstance(result, c.Applied), result
    return result


class AgainstADictionary(RuleBasedStateMachine):
    """The key space is a dictionary, revisions only grow, and the history replays to the present."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine()
        self.model: dict[str, bytes] = {}
        self.pictures: dict[int, dict[str, bytes]] = {}

    @rule(batch=batches_of(5))
    def commits(self, batch: list) -> None:
        self.pictures[self.machine.revision] = dict(self.model)
        before = self.machine.revision
        txn(self.machine, *batch)
        for operation in batch:
            if isinstance(operation, Put):
                self.model[operation.key] = operation.value
            elif isinstance(operation, Delete):
                self.model.pop(operation.key, None)
        assert self.machine.revision - before in (0, 1)

    @rule(key=keys, value=values, seen=values)
    def swaps_only_what_it_saw(self, key: str, value: bytes, seen: bytes) -> None:
        result = txn(self.machine, Put(key=key, value=value), compare=(Compare(key=key, field="value", operand=seen),))
        assert result.txn is not None
        assert result.txn.succeeded == (self.model.get(key, b"") == seen)
        if result.txn.succeeded:
            self.model[key] = value

    @rule()
    def survives_a_snapshot(self) -> None:
        other = Machine()
        other.restore(list(self.machine.snapshot()))
        assert other.state_hash() == self.machine.state_hash()
        assert other.full_hash() == self.machine.full_hash()
        self.machine = other
        self.pictures.clear()

    @rule(share=st.floats(0, 1))
    def compacts(self, share: float) -> None:
        compacted = Revision(int(self.machine.revision * share))
        apply(self.machine, c.Compact(compacted))
        self.pictures = {revision: each for revision, each in self.pictures.items() if revision >= compacted}

    @invariant()
    def remembers_what_it_was(self) -> None:
        for revision, picture in self.pictures.items():
            self.machine.check_readable(Revision(revision))
            then = {item.key: item.value for item in self.machine.keys.below_at("", Revision(revision))}
            assert then == picture
            assert all(
                (item := self.machine.keys.get_at(key, Revision(revision))) is None
                if key not in picture
                else (item := self.machine.keys.get_at(key, Revision(revision))) and item.value == picture[key]
                for key in KEYS
            )

    @invariant()
    def holds_what_the_dictionary_holds(self) -> None:
        assert {item.key: item.value for item in self.machine.keys.below("")} == self.model

    @invariant()
    def weighs_what_it_holds(self) -> None:
        assert self.machine.keys.bytes_total == sum(len(key) + len(value) for key, value in self.model.items())


TestAgainstADictionary = AgainstADictionary.TestCase


@given(st.binary(max_size=200))
def test_no_command_makes_apply_raise(raw: bytes) -> None:
    """A command that raises would be applied for ever, on every member."""
    assert isinstance(Machine().apply(raw), c.Applied | c.Failed)


@given(st.lists(batches_of(4), max_size=20))
def test_members_that_apply_the_same_have_the_same(batches: list) -> None:
    one, other = Machine(), Machine()
    for batch in batches:
        txn(one, *batch)
        txn(other, *batch)
    assert one.state_hash() == other.state_hash()


@given(st.lists(batches_of(4), max_size=20), st.integers(1, 20))
def test_history_replays_without_gap_or_duplicate(batches: list, start: int) -> None:
    machine = Machine()
    for batch in batches:
        txn(machine, *batch)
    history = machine.history.since("k/", Revision(start))
    revisions = [batch.revision for batch in history]
    assert revisions == sorted(set(revisions))
    assert all(revision >= start for revision in revisions)
    if start == 1:
        state: dict[str, bytes] = {}
        for batch in history:
            for event in batch.events:
                if event.kind == "put":
                    state[event.item.key] = event.item.value
                else:
                    state.pop(event.item.key, None)
        assert state == {item.key: item.value for item in machine.keys.below("")}


def test_a_repeated_command_answers_its_first_result_and_does_nothing() -> None:
    machine = Machine()
    session = opened(machine)
    first = apply(machine, c.Txn((absent("a"),), (Put(key="a", value=b"1"),)), session, 1)
    again = apply(machine, c.Txn((absent("a"),), (Put(key="a", value=b"1"),)), session, 1)
    assert first == again
    assert machine.revision == 1
    later = apply(machine, c.Txn((absent("a"),), ()), session, 2, settled=2)
    assert isinstance(later, c.Applied)
    assert later.txn is not None
    assert not later.txn.succeeded


def test_a_copy_that_comes_after_its_end_was_seen_is_not_applied() -> None:
    """A copy can wait in a network for as long as it likes."""
    machine = Machine()
    session = opened(machine)
    apply(machine, c.Txn((), (Put(key="a", value=b"1"),)), session, 1)
    apply(machine, c.Txn((), (Delete(key="a"),)), session, 2, settled=2)
    late = apply(machine, c.Txn((), (Put(key="a", value=b"1"),)), session, 1)
    assert isinstance(late, c.Failed)
    assert late.code == "session_lost"
    assert machine.keys.get("a") is None


def test_a_session_that_was_forgotten_is_refused_rather_than_begun_anew() -> None:
    machine = Machine()
    session = opened(machine)
    apply(machine, c.Txn((), (Put(key="a", value=b"1"),)), session, 1)
    for _ in range(SESSIONS_MAX):
        opened(machine)
    again = apply(machine, c.Txn((), (Put(key="a", value=b"1"),)), session, 1)
    assert isinstance(again, c.Failed)
    assert again.code == "session_lost"
    assert machine.revision == 1


def test_a_session_with_too_much_in_flight_is_told_and_loses_nothing() -> None:
    machine = Machine()
    session = opened(machine)
    for number in range(1, RESULTS_MAX + 1):
        apply(machine, c.Txn((), ()), session, number)
    full = apply(machine, c.Txn((), (Put(key="a", value=b"1"),)), session, RESULTS_MAX + 1)
    assert isinstance(full, c.Failed)
    assert full.code == "store_overloaded"
    assert machine.keys.get("a") is None
    later = apply(machine, c.Txn((), (Put(key="a", value=b"1"),)), session, RESULTS_MAX + 1, settled=2)
    assert isinstance(later, c.Applied)


def test_a_refused_transaction_changes_nothing_at_all() -> None:
    machine = Machine()
    result = apply(machine, c.Txn((), (Put(key="a", value=b"1"), Put(key="b", value=b"1", lease=LeaseId(9)))))
    assert isinstance(result, c.Failed)
    assert result.code == "lease_not_found"
    assert list(machine.keys.below("")) == []
    assert machine.revision == 0


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (c.Txn((), (Put(key="", value=b""),)), "invalid_request"),
        (c.Txn((), (Put(key="k" * 513, value=b""),)), "too_large"),
        (c.Txn((), (Put(key="k", value=bytes(65_537)),)), "too_large"),
        (c.Txn((), tuple(Put(key=f"k{n}", value=bytes(60_000)) for n in range(20))), "too_large"),
        (c.Txn((Compare(key="k", field="value", operand=3),), ()), "invalid_request"),
        (c.Txn((Compare(key="k", field="version", operand=b""),), ()), "invalid_request"),
        (c.Txn((), (Put(key="k", value=b""), Delete(key="k"))), "invalid_request"),
        (c.Txn((), (Put(key="k/1", value=b""), Delete(key="k/", prefix=True))), "invalid_request"),
        (c.Compact(Revision(5)), "invalid_request"),
        (c.Grant(1), "invalid_request"),
        (c.KeepAlive(LeaseId(4)), "lease_not_found"),
    ],
)
def test_limits_are_refused_with_their_own_code(command: c.Command, code: str) -> None:
    result = apply(Machine(), command)
    assert isinstance(result, c.Failed)
    assert result.code == code


def test_a_full_quota_refuses_that_part_and_nothing_else() -> None:
    """A slice that fills its data must not be able to stop the control plane."""
    machine = Machine()
    result: c.Result = c.Applied()
    for number in range(400):
        result = apply(machine, c.Txn((), (Put(key=f"database/shop/{number}", value=bytes(60_000)),)))
    assert isinstance(result, c.Failed)
    assert result.code == "quota_exceeded"
    txn(machine, Put(key="database/other/1", value=b"x"), Put(key="node/n1", value=b"x"))
    txn(machine, Delete(key="database/shop/0"))
    txn(machine, Put(key="database/shop/again", value=bytes(50_000)))


def test_a_lease_ends_after_its_time_and_takes_its_keys_along() -> None:
    machine = Machine()
    granted = apply(machine, c.Grant(1_000))
    assert isinstance(granted, c.Applied)
    txn(machine, Put(key="a", value=b"1", lease=granted.lease), Put(key="b", value=b"1"))
    apply(machine, c.Tick(5_000))  # began before the lease did: not counted
    apply(machine, c.Tick(999))
    assert machine.keys.get("a") is not None
    apply(machine, c.KeepAlive(granted.lease))
    apply(machine, c.Tick(5_000))
    apply(machine, c.Tick(999))
    assert machine.keys.get("a") is not None
    apply(machine, c.Tick(1))
    assert machine.keys.get("a") is None
    assert machine.keys.get("b") is not None
    assert machine.history.since("a", Revision(2))[-1].events[0].kind == "delete"


def test_a_key_that_was_written_again_without_the_lease_outlives_it() -> None:
    machine = Machine()
    granted = apply(machine, c.Grant(1_000))
    assert isinstance(granted, c.Applied)
    txn(machine, Put(key="a", value=b"1", lease=granted.lease))
    txn(machine, Put(key="a", value=b"2"))
    apply(machine, c.Tick(5_000))
    apply(machine, c.Tick(5_000))
    assert machine.keys.get("a") is not None


def test_history_that_is_gone_says_so_and_from_where_it_goes_on() -> None:
    machine = Machine()
    for number in range(BATCHES_MAX + 5):
        txn(machine, Put(key="a", value=str(number).encode()))
    with pytest.raises(Compacted) as caught:
        machine.history.since("a", Revision(1))
    assert machine.history.since("a", Revision(caught.value.oldest))


def test_a_comparison_of_the_mod_revision_fences() -> None:
    machine = Machine()
    apply(machine, c.Lead("n1"))
    fence = unchanged("_leader", machine.revision)
    txn(machine, Put(key="a", value=b"1"), compare=(fence,))
    apply(machine, c.Lead("n2"))
    result = txn(machine, Put(key="a", value=b"2"), compare=(fence,))
    assert result.txn is not None
    assert not result.txn.succeeded
