"""The highest need of the last seconds, beside a list that remembers each of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controllers.scaling.needs import Needs

NEEDS = st.lists(st.integers(0, 6), max_size=60)


@given(NEEDS, st.integers(1, 20), st.integers(0, 6), st.integers(1, 20))
def test_it_says_what_a_list_of_all_seconds_would(noted: list[int], hold_s: int, current: int, seconds: int) -> None:
    needs = Needs()
    for at, need in enumerate(noted, start=1):
        needs.note(need, hold_s)
        kept = noted[max(0, at - hold_s) : at]
        is_full = len(kept) == hold_s
        assert needs.held(hold_s, current) == (max(kept) if is_full else max(current, *kept))
        assert needs.lately(seconds, hold_s) == (max(kept[-seconds:]) if is_full else None)


def test_a_memory_that_is_empty_holds_what_there_is() -> None:
    assert Needs().held(5, 3) == 3
    assert Needs().lately(2, 5) is None


@given(NEEDS.filter(bool), st.integers(1, 10), st.integers(1, 10))
def test_a_longer_hold_is_not_full_before_so_many_seconds_were_seen(noted: list[int], before: int, more: int) -> None:
    needs = Needs()
    for need in noted:
        needs.note(need, before)
    kept = noted[-before:]
    assert needs.held(before + more, 9) == 9
    assert needs.lately(1, before + more) is None
    for _ in range(before + more - len(kept)):
        needs.note(0, before + more)
    assert needs.held(before + more, 9) == max(kept)


@given(NEEDS.filter(bool), st.integers(1, 10))
def test_a_shorter_hold_forgets_with_the_next_second(noted: list[int], hold_s: int) -> None:
    needs = Needs()
    for need in noted:
        needs.note(need, 60)
    needs.note(1, hold_s)
    kept = [*noted, 1][-hold_s:]
    assert needs.lately(60, hold_s) == (max(kept) if len(noted) + 1 >= hold_s else None)
