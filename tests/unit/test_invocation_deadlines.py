"""Deadlines share timers: none ends early, none is forgotten, and what was answered is left alone."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from runtime.invocation.deadlines import STEP_S, Deadlines


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class _Loop(asyncio.AbstractEventLoop):
    """A clock that jumps from timer to timer."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], None], *_: object, **__: object) -> _Timer:  # type: ignore[override]
        timer = _Timer(callback)
        heapq.heappush(self._timers, (when, len(self._timers) + id(timer), timer))
        return timer

    def run(self) -> None:
        while self._timers:
            when, _, timer = heapq.heappop(self._timers)
            self.now_s = max(self.now_s, when)
            if not timer.cancelled:
                timer.callback()


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_each_call_ends_once_at_its_deadline_unless_it_was_answered(calls: list[tuple[float, bool]]) -> None:
    loop, ended = _Loop(), dict[int, float]()

    def expire(call_id: int) -> None:
        assert call_id not in ended
        ended[call_id] = loop.now_s

    deadlines = Deadlines(loop, expire)
    slots = [deadlines.add(call_id, deadline) for call_id, (deadline, _) in enumerate(calls)]
    for call_id, (_, answered) in enumerate(calls):
        if answered:
            slots[call_id].discard(call_id)
    loop.run()
    assert set(ended) == {call_id for call_id, (_, answered) in enumerate(calls) if not answered}
    for call_id, at_s in ended.items():
        deadline = calls[call_id][0]
        assert deadline - 1e-9 <= at_s <= deadline + STEP_S + 1e-9


def test_a_call_that_is_added_while_others_end_gets_its_own_end() -> None:
    loop, ended = _Loop(), list[int]()

    def expire(call_id: int) -> None:
        ended.append(call_id)
        if call_id == 1:
            deadlines.add(2, loop.now_s + 0.5)

    deadlines = Deadlines(loop, expire)
    deadlines.add(1, 1.0)
    loop.run()
    assert ended == [1, 2]


def test_a_call_that_another_s_end_has_ended_does_not_end_again() -> None:
    """Both wait in one slot, and either may be first."""
    loop, ended = _Loop(), list[int]()

    def expire(call_id: int) -> None:
        ended.append(call_id)
        slot.discard(3 - call_id)

    deadlines = Deadlines(loop, expire)
    slot = deadlines.add(1, 1.0)
    assert deadlines.add(2, 1.0) is slot
    deadlines.add(4, 2.0)
    loop.run()
    assert sorted(ended) in ([1, 4], [2, 4])


def test_nothing_ends_after_the_connection_has() -> None:
    loop, ended = _Loop(), list[int]()
    deadlines = Deadlines(loop, ended.append)
    deadlines.add(1, 1.0)
    deadlines.close()
    loop.run()
    assert ended == []
