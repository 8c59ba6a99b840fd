"""Drift: the window against one that keeps every value, and what counts as drift at all."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.ttm.drift import COVERAGE_WINDOW, DELTA, SIDE_MIN, Adwin, DriftCause, DriftWatch, Split, differs

values = st.lists(st.floats(0, 10, allow_nan=False), min_size=2, max_size=160)


class AllValues:
    """ADWIN as first published: it keeps every value and looks at every place where the window could be cut."""

    def __init__(self, held: list[float]) -> None:
        self.held = held

    def splits(self) -> list[Split]:
        ends = range(SIDE_MIN, len(self.held) - SIDE_MIN + 1)
        return [Split(at, sum(self.held[:at]), len(self.held) - at, sum(self.held[at:])) for at in ends]

    def has_changed(self) -> bool:
        variance = statistics.pvariance(self.held)
        return any(differs(split, variance, DELTA) for split in self.splits())


@settings(max_examples=60, deadline=None)
@given(values)
def test_the_window_knows_its_newest_values_as_if_it_had_kept_them_all(given_values: list[float]) -> None:
    """Sums of runs that drift away from the values would find changes that are none."""
    window = Adwin()
    for value in given_values:
        window.add(value)
    held = given_values[-window.count :]
    assert window.total == pytest.approx(sum(held), abs=1e-6)
    assert window.variance == pytest.approx(statistics.pvariance(held), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(values)
def test_every_cut_it_looks_at_is_one_of_all_cuts(given_values: list[float]) -> None:
    """A cut with wrong sums is a false alarm, or a change that is never found."""
    window = Adwin()
    for value in given_values:
        window.add(value)
    every = {split.old_count: split for split in AllValues(given_values[-window.count :]).splits()}
    for split in window.splits():
        assert split == pytest.approx(every[split.old_count], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 6))
def test_it_drops_its_past_only_when_one_that_sees_every_cut_would(seed: int, shift: float) -> None:
    """The short memory may cost a little delay; it must not invent changes."""
    chance, window, held = random.Random(seed), Adwin(), []
    for at in range(256):
        value = chance.gauss(1 + (shift if at >= 128 else 0), 0.5)
        held.append(value)
        if window.add(value):
            assert AllValues(held).has_changed()
            held = held[-window.count :]
    assert len(held) == window.count
    assert window.variance == pytest.approx(statistics.pvariance(held), abs=1e-6)


def test_it_finds_a_shift_and_forgets_what_was_before() -> None:
    chance, window = random.Random(1), Adwin()
    found = [at for at in range(1_000) if window.add(chance.gauss(1 if at < 500 else 2, 0.3))]
    assert found
    assert 500 <= found[0] < 564
    assert window.mean == pytest.approx(2, abs=0.1)
    assert window.count <= 520


def test_a_quiet_stream_is_left_alone() -> None:
    chance, window = random.Random(2), Adwin()
    assert not any(window.add(chance.gauss(1, 0.3)) for _ in range(3_000))
    assert window.count == 3_000


def watch(errors: list[float], covered: list[bool]) -> list[DriftCause | None]:
    drift = DriftWatch()
    return [drift.observe(error=error, covered=inside) for error, inside in zip(errors, covered, strict=True)]


def test_errors_that_grow_are_drift_and_errors_that_shrink_are_not() -> None:
    """A challenger for a load that became easier would be work for nothing."""
    chance = random.Random(3)
    small = [abs(chance.gauss(0, 0.3)) for _ in range(400)]
    large = [abs(chance.gauss(0, 1.5)) for _ in range(400)]
    assert DriftCause.ERROR in watch(small + large, [True] * 800)[400:]
    assert DriftCause.ERROR not in watch(large + small, [True] * 800)


def test_bands_that_were_never_right_are_drift_once_twelve_hours_say_so() -> None:
    covered = [at % 10 < 7 for at in range(COVERAGE_WINDOW)]
    causes = watch([0.5] * COVERAGE_WINDOW, covered)
    assert causes[-1] is DriftCause.COVERAGE
    assert causes[:-1] == [None] * (COVERAGE_WINDOW - 1)


def test_one_absurd_minute_and_one_unknown_are_no_drift() -> None:
    chance = random.Random(4)
    errors = [abs(chance.gauss(0, 0.3)) for _ in range(600)]
    errors[300], errors[400] = 1e9, float("nan")
    assert set(watch(errors, [True] * 600)) == {None}
