"""How long starts take is learnt from counts alone, and only where they are slow are more started than are missing."""

from __future__ import annotations

import pytest

from controllers.scaling.starts import StartDelay


def test_the_delay_of_starts_is_the_mean_of_those_that_served() -> None:
    starts = StartDelay()
    for second in range(200):
        begun = second % 10 == 0
        starts.take(second, serving=second // 30, starting=1 if begun or second % 30 else 0)
    assert starts.mean_s == pytest.approx(30, abs=2)


def test_instances_that_serve_within_the_second_took_no_time() -> None:
    starts = StartDelay()
    starts.take(0, serving=2, starting=0)
    starts.take(1, serving=6, starting=0)
    assert starts.mean_s == 0


def test_a_first_start_is_known_to_take_as_long_as_it_lasts_already() -> None:
    starts = StartDelay()
    starts.take(0, serving=1, starting=0)
    assert starts.mean_s is None
    for second in range(1, 9):
        starts.take(second, serving=1, starting=1)
    assert starts.mean_s == 7


def test_what_is_taken_back_is_what_began_last() -> None:
    starts = StartDelay()
    starts.take(0, serving=1, starting=1)
    starts.take(20, serving=1, starting=3)
    starts.take(25, serving=1, starting=1)
    starts.take(30, serving=2, starting=0)
    assert starts.mean_s == 30


def test_many_quick_starts_after_slow_ones_make_it_short_again() -> None:
    starts = StartDelay()
    starts.take(0, serving=0, starting=5)
    starts.take(60, serving=5, starting=0)
    for second in range(61, 111):
        starts.take(second, serving=second - 55, starting=0)
    assert (starts.mean_s or 0.0) < 1
