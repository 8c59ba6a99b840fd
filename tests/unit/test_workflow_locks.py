"""Locks of runs: who is granted what, whatever order runs come, go and ask in."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.errors import InvariantBroken
from runtime.names import Sha256
from runtime.workflow.locks import Changes, ask, free, waiting_at, wishes
from runtime.workflow.records import ENDED, LockMode, LockRecord, LockWish, RunRecord, RunState
from runtime.workflow.states import MOVES, Event, advance
from tests.unit.workflow_parts import ANNA

NAMES = ("a", "b", "c")
MODES: tuple[LockMode, ...] = ("exclusive", "shared")
WISHES = st.lists(
    st.builds(LockWish, name=st.sampled_from(NAMES), mode=st.sampled_from(MODES)), min_size=1, max_size=3
).map(tuple)


def a_run(identity: str, locks: tuple[LockWish, ...], **members: object) -> RunRecord:
    run = RunRecord(id=identity, kind="list", definition=Sha256("d"), actor=ANNA, created_unix_ms=0, locks=locks)
    return msgspec.structs.replace(run, **members)


def applied(table: dict[str, LockRecord], changes: Changes) -> None:
    for name, lock in changes.items():
        if lock is None:
            table.pop(name, None)
        else:
            table[name] = lock


class Crossing(RuleBasedStateMachine):
    """Runs come with any wishes, ask again whenever they like, and end; `revision` grows with every change."""

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[str, LockRecord] = {}
        self.waiting: list[RunRecord] = []
        self.holding: dict[str, RunRecord] = {}
        self.revision = 1
        self.granted_at: dict[str, int] = {}
        """By lock, the number of the last exclusive grant."""
        self.passed_by: dict[str, list[str]] = {}

    def _ask(self, run: RunRecord, family: frozenset[str] = frozenset()) -> bool:
        asked = ask(self.table, run, now_unix_ms=0, number=self.revision, family=family)
        applied(self.table, asked.changes)
        if asked.granted:
            for name, mode in wishes(run.locks).items():
                assert self.revision > self.granted_at.get(name, 0) or mode == "shared", "a number that did not grow"
                if mode == "exclusive":
                    self.granted_at[name] = self.revision
            self.holding[run.id] = run
        self.revision += 1
        return asked.granted

    @rule(locks=WISHES)
    def comes(self, locks: tuple[LockWish, ...]) -> None:
        run = a_run(f"r{self.revision:04}", locks)
        if not self._ask(run):
            self.waiting.append(run)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def asks_again(self, data: st.DataObject) -> None:
        """Nobody passes an earlier one that it conflicts with."""
        run = data.draw(st.sampled_from(self.waiting))
        earlier = self.waiting[: self.waiting.index(run)]
        if self._ask(run):
            assert not any(conflicting(run, other) for other in earlier), "an earlier run was passed"
            self.waiting.remove(run)

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        run = self.holding.pop(data.draw(st.sampled_from(sorted(self.holding))))
        changes = free(self.table, run.id)
        applied(self.table, changes)
        self.revision += 1
        for each in [each for each in self.waiting if each.id in waiting_at(changes)]:
            if self._ask(each):
                self.waiting.remove(each)

    @precondition(lambda self: self.holding)
    @rule(data=st.data(), locks=WISHES)
    def child_comes(self, data: st.DataObject, locks: tuple[LockWish, ...]) -> None:
        """It has what its parent has, gets more at once or not at all, and waits for nobody."""
        parent = data.draw(st.sampled_from(sorted(self.holding)))
        child = a_run(f"r{self.revision:04}", locks, parent=parent)
        before = dict(self.table)
        if self._ask(child, frozenset({parent})):
            applied(self.table, free(self.table, child.id))
            del self.holding[child.id]
        assert self.table == before

    @invariant()
    def exclusive_means_alone(self) -> None:
        for lock in self.table.values():
            modes = [each.mode for each in lock.holders]
            assert len(modes) <= 1 or "exclusive" not in modes

    @invariant()
    def all_or_none(self) -> None:
        for run in self.holding.values():
            assert all(any(each.run == run.id for each in self.table[name].holders) for name in wishes(run.locks))
        for run in self.waiting:
            assert not any(each.run == run.id for lock in self.table.values() for each in lock.holders)

    @invariant()
    def nothing_waits_in_a_circle(self) -> None:
        """When all that hold end, everybody who waits is granted in turn."""
        table, waiting = dict(self.table), list(self.waiting)
        for run in self.holding:
            applied(table, free(table, run))
        while waiting:
            granted = [run for run in waiting if self._would(table, run)]
            assert granted, f"{[each.id for each in waiting]} wait for ever"
            for run in granted:
                applied(table, free(table, run.id))
                waiting.remove(run)
        assert not table, "locks that nobody has are forgotten"

    @staticmethod
    def _would(table: dict[str, LockRecord], run: RunRecord) -> bool:
        asked = ask(table, run, now_unix_ms=0, number=10**9)
        if asked.granted:
            applied(table, asked.changes)
        return asked.granted


def conflicting(one: RunRecord, other: RunRecord) -> bool:
    mine, theirs = wishes(one.locks), wishes(other.locks)
    return any("exclusive" in (mine[name], theirs[name]) for name in mine.keys() & theirs.keys())


TestCrossing = Crossing.TestCase
TestCrossing.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@given(WISHES)
def test_wishes_are_in_order_and_the_stronger_of_two_counts(locks: tuple[LockWish, ...]) -> None:
    found = wishes(locks)
    assert list(found) == sorted({each.name for each in locks})
    assert all(found[each.name] == "exclusive" for each in locks if each.mode == "exclusive")


def test_readers_share_and_a_writer_is_not_starved_by_later_readers() -> None:
    table: dict[str, LockRecord] = {}
    granted = []
    for identity, mode in (("r1", "shared"), ("r2", "shared"), ("r3", "exclusive"), ("r4", "shared")):
        asked = ask(table, a_run(identity, (LockWish(name="a", mode=mode),)), now_unix_ms=0, number=1)  # type: ignore[arg-type]
        applied(table, asked.changes)
        granted.append((identity, asked.granted, asked.behind))
    assert granted == [
        ("r1", True, ()),
        ("r2", True, ()),
        ("r3", False, ("r1", "r2")),
        ("r4", False, ("r3",)),
    ]


def test_a_child_may_not_strengthen_what_its_parent_shares() -> None:
    """It would wait for its parent, which waits for it."""
    table: dict[str, LockRecord] = {}
    applied(table, ask(table, a_run("r1", (LockWish(name="a", mode="shared"),)), now_unix_ms=0, number=1).changes)
    child = a_run("r2", (LockWish(name="a"),), parent="r1")
    asked = ask(table, child, now_unix_ms=0, number=2, family=frozenset({"r1"}))
    assert (asked.granted, asked.behind, asked.changes) == (False, ("r1",), {})


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("event", Event)
def test_every_state_and_event(state: RunState, event: Event) -> None:
    """What has ended stays as it is; whatever has not can fail and be cancelled."""
    if (state, event) not in MOVES:
        with pytest.raises(InvariantBroken, match=f"{state} cannot {event}"):
            advance(state, event)
        return
    assert state not in ENDED
    assert advance(state, event) is MOVES[state, event]


def test_every_open_state_leads_to_an_end() -> None:
    for state in RunState:
        ends = {MOVES.get((state, event)) for event in Event} & ENDED
        assert bool(ends) is (state not in ENDED)
