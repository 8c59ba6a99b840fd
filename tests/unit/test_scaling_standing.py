"""What scaling remembers of its own changes, as of a clock that may be set at any time."""

from __future__ import annotations

from typing import Literal

from controllers.gate.circumstances import RecentChange
from controllers.scaling.judging import Needs
from controllers.scaling.standing import CONTROLLER, since_change_s, turns_of

NOW_MS = 1_700_000_000_000


def changed(at_unix_ms: int, direction: Literal["out", "in"], *, took_back: bool = False) -> RecentChange:
    return RecentChange(
        at_unix_ms=at_unix_ms,
        actor=CONTROLLER,
        by_agent=False,
        operation="slice.scale",
        direction=direction,
        took_back=took_back,
    )


def test_a_clock_that_was_set_back_makes_no_cool_down_last() -> None:
    """Of an age only the size counts: a negative one would be below any cool-down for as long as it takes."""
    assert since_change_s([changed(NOW_MS, "out")], NOW_MS - 3_600_000) == 3_600
    assert since_change_s([changed(NOW_MS - 9_000, "in"), changed(NOW_MS - 4_000, "out")], NOW_MS) == 4
    assert since_change_s([], NOW_MS) is None


def test_turns_are_those_of_the_last_five_minutes_whichever_way_the_clock_went() -> None:
    ways: list[Literal["out", "in"]] = ["out", "in", "in", "out"]
    changes = [changed(NOW_MS - 1_000 * at, way) for at, way in enumerate(ways)]
    assert turns_of(changes, NOW_MS) == 2
    assert turns_of(changes, NOW_MS - 3_600_000) == 0
    assert turns_of(changes, NOW_MS + 3_600_000) == 0


def test_a_start_that_is_taken_back_is_no_turn_but_a_change() -> None:
    """Nothing that served has stopped: counted, spare starts would keep everything that a peak left behind."""
    changes = [changed(NOW_MS - 3_000, "out"), changed(NOW_MS - 2_000, "in", took_back=True), changed(NOW_MS, "out")]
    assert turns_of(changes, NOW_MS) == 0
    assert since_change_s(changes[:2], NOW_MS) == 2


def test_a_new_leader_releases_nothing_until_its_memory_is_full() -> None:
    """Else a forecast could take away within a second what the leader before it knew to be needed."""
    needs = Needs()
    for need in (9, 3):
        needs.note(need, 4)
    assert (needs.held(4, 7), needs.lately(1, 4)) == (9, None)
    for need in (2, 1):
        needs.note(need, 4)
    assert (needs.held(4, 7), needs.lately(2, 4)) == (9, 2)
