"""Exactly once: whatever is repeated, in whatever order copies come, a change is applied once or refused."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.consensus import commands as c
from runtime.consensus import sessions as sessions_module
from runtime.consensus.machine import Machine
from runtime.consensus.store import Put


class AgainstACount(RuleBasedStateMachine):
    """Every change writes a key of its own, whose version counts how often it was applied. Few sessions and few
    results are kept, so that both run out."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.machine = Machine()
        self.order: list[int] = []  # sessions, the longest unused first
        self.forgotten: set[int] = set()
        self.settled: dict[int, int] = {}
        self.answers: dict[tuple[int, int], c.Result] = {}

    @initialize()
    def keeps_few(self) -> None:
        self.patch.setattr(sessions_module, "SESSIONS_MAX", 3)
        self.patch.setattr(sessions_module, "RESULTS_MAX", 4)

    def teardown(self) -> None:
        self.patch.undo()

    @rule()
    def opens(self) -> None:
        result = self.machine.apply(c.encode(c.Envelope(c.OpenSession())))
        assert isinstance(result, c.Applied)
        assert result.session not in self.settled, "an id is never used again"
        self.order.append(result.session)
        self.settled[result.session] = 0
        if len(self.order) > 3:
            self.forgotten.add(self.order.pop(0))

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), sequence=st.integers(1, 9), behind=st.integers(0, 5))
    def sends_or_repeats(self, data: st.DataObject, sequence: int, behind: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.settled)))
        settled = max(0, sequence - behind)
        put = Put(key=f"{session}/{sequence}", value=b"")
        result = self.machine.apply(c.encode(c.Envelope(c.Txn((), (put,)), session, sequence, settled)))
        if session in self.forgotten:
            assert isinstance(result, c.Failed)
            assert result.code == "session_lost"
            return
        self.order.append(self.order.pop(self.order.index(session)))
        self.settled[session] = max(self.settled[session], settled)
        if sequence < self.settled[session]:
            assert isinstance(result, c.Failed)
            assert result.code == "session_lost"
        elif (session, sequence) in self.answers:
            assert result == self.answers[session, sequence]
        elif isinstance(result, c.Applied):
            self.answers[session, sequence] = result
        else:
            assert result.code == "store_overloaded"
            assert len(self.machine.sessions.by_id[session].results) == 4

    @rule()
    def is_restored(self) -> None:
        other = Machine()
        other.restore(list(self.machine.snapshot()))
        assert other.full_hash() == self.machine.full_hash()
        self.machine = other

    @invariant()
    def applied_each_answered_change_once_and_no_other(self) -> None:
        applied = {item.key: item.version for item in self.machine.keys.below("")}
        assert applied == {f"{session}/{sequence}": 1 for session, sequence in self.answers}

    @invariant()
    def remembers_the_sessions_used_last(self) -> None:
        assert list(self.machine.sessions.by_id) == self.order


TestAgainstACount = AgainstACount.TestCase
TestAgainstACount.settings = settings(max_examples=60, stateful_step_count=40, derandomize=True)
