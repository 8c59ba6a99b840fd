"""What was forecast is kept beside what came, minute by minute, and told as the operation tells it."""

from __future__ import annotations

import math

from controllers.ttm.trail import MINUTES, Band, Trail, bars

SAID = Band(1.0, 2.0, 3.0)


def test_a_minute_has_what_was_said_before_it_and_what_came() -> None:
    """A band beside another minute's load would make every forecast look late."""
    trail = Trail()
    trail.note(10, {"tea": 5.0}, {"tea": SAID})
    (coming,) = trail.of("tea")
    assert (coming.minute, coming.band) == (11, SAID)
    assert math.isnan(coming.rate)
    trail.note(11, {"tea": 7.0}, {"tea": Band(4.0, 5.0, 6.0)})
    assert [(each.minute, each.rate) for each in trail.of("tea")][:1] == [(11, 7.0)]
    assert len(trail.of("tea")) == 2


def test_a_minute_that_was_skipped_gives_its_load_to_no_other() -> None:
    trail = Trail()
    trail.note(10, {"tea": 5.0}, {"tea": SAID})
    trail.note(12, {"tea": 9.0}, {"tea": SAID})
    assert math.isnan(trail.of("tea")[0].rate)


def test_an_hour_is_kept_and_slices_that_went_are_forgotten() -> None:
    trail = Trail()
    for minute in range(2 * MINUTES):
        trail.note(minute, {"tea": 1.0}, {"tea": SAID})
    assert len(trail.of("tea")) == MINUTES
    trail.note(2 * MINUTES, {"milk": 1.0}, {})
    assert trail.of("tea") == ()


def test_bars_are_of_one_scale_from_zero_and_blank_where_nothing_is_known() -> None:
    assert bars([0.0, 4.0, math.nan], [8.0]) == "▁▅ |█"
    assert bars([], []) == "|"
    assert bars([0.0], []) == "▁|"
