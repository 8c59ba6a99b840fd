"""What an instance carries, learnt: right within a stated error, and never from what cannot be true."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.scaling.capacity import PRIOR_RATE, Capacity, CapacityEstimator, CapacitySeen
from evals.scaling.arrivals import Generator
from evals.scaling.peers.hpa import Hpa
from evals.scaling.policy import Past, Seen
from evals.scaling.run import run
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Trace

SLO_MS = 500.0
ERROR_MAX = 0.05
"""Of the estimate, once five minutes were seen with instances a third busy or more."""
INSTANCES = 10
Load = Callable[[int], float]


def steady(busy: float) -> Load:
    return lambda _at: busy


def wave(at_s: int) -> float:
    return 0.4 + 0.25 * math.sin(at_s / 100)


def seconds(
    truth: float, load: Load, count: int, *, noise: float = 0.03, idle: float = 0.01, seed: int = 0
) -> Iterator[CapacitySeen]:
    """A service in which a call takes one part in `truth` of an instance, measured with noise."""
    chance = random.Random(seed)
    for at in range(count):
        due = load(at) * truth * INSTANCES
        calls = min(max(0.0, chance.gauss(due, math.sqrt(due))), truth * INSTANCES)
        busy = idle + (1 - idle) * calls / INSTANCES / truth + chance.gauss(0.0, noise)
        yield CapacitySeen(calls=calls, instances=INSTANCES, busy=min(1.0, max(0.0, busy)))


def learnt(truth: float, load: Load, count: int, into: CapacityEstimator | None = None, **how: float) -> Capacity:
    estimator = into or CapacityEstimator()
    for seen in seconds(truth, load, count, **how):  # type: ignore[arg-type]
        estimator.observe(seen, slo_p95_ms=SLO_MS)
    return estimator.capacity


def trials(count: int) -> Iterator[tuple[random.Random, float]]:
    """Capacities over four orders of magnitude, the same ones each time: what is claimed holds 19 times of 20."""
    for trial in range(count):
        chance = random.Random(trial)
        yield chance, math.exp(chance.uniform(math.log(2.0), math.log(20_000.0)))


def test_five_minutes_of_any_steady_load_tell_the_capacity() -> None:
    for chance, truth in trials(50):
        busy = chance.uniform(0.1, 0.8)
        found = learnt(truth, steady(busy), 300, seed=chance.randrange(1_000), idle=0.0)
        if busy > 1 / 3:
            assert found.rate_per_instance == pytest.approx(truth, rel=ERROR_MAX)
        assert found.low <= truth <= found.high


def test_a_load_that_varies_tells_it_whatever_an_idle_instance_uses() -> None:
    for chance, truth in trials(30):
        found = learnt(truth, wave, 600, seed=chance.randrange(1_000), idle=chance.uniform(0.0, 0.15))
        assert found.rate_per_instance == pytest.approx(truth, rel=ERROR_MAX)


def test_intervals_hold_what_they_promise() -> None:
    """Too narrow ones would let a controller trust what it does not know."""
    held = []
    for seed in range(60):
        found = learnt(100.0, wave, 60 + 10 * seed, seed=seed, noise=0.05)
        held.append(found.low <= 100.0 <= found.high)
    assert sum(held) >= 57


def test_before_anything_was_seen_it_is_the_prior_and_says_so() -> None:
    found = CapacityEstimator().capacity
    assert (found.rate_per_instance, found.samples, found.busy_max) == (PRIOR_RATE, 0.0, None)
    assert found.high / found.low > 100


@pytest.mark.parametrize("truth", [2.0, 50.0, 5_000.0])
def test_instances_that_are_hardly_used_tell_what_they_carry_at_least(truth: float) -> None:
    """Else a slice that was made too large, and is called too seldom to learn from, would stay as large for ever."""
    estimator = CapacityEstimator()
    used = CapacitySeen(calls=0.01 * truth * INSTANCES, instances=INSTANCES, busy=0.01)
    for _ in range(59):
        estimator.observe(used, slo_p95_ms=SLO_MS)
    assert estimator.capacity.samples == 0, "less than a minute tells nothing"
    estimator.observe(used, slo_p95_ms=SLO_MS)
    found = estimator.capacity
    assert found.samples > 0
    assert found.low == found.rate_per_instance == pytest.approx(max(truth / 2, 3.3), rel=0.01)
    again = learnt(truth, steady(0.5), 120, estimator)
    assert again.rate_per_instance == pytest.approx(truth, rel=0.15), "forgotten once it is used"


def test_a_new_version_does_not_begin_with_what_the_old_one_carried_at_least() -> None:
    estimator = CapacityEstimator()
    for _ in range(120):
        estimator.observe(CapacitySeen(calls=0.0, instances=INSTANCES, busy=0.0), slo_p95_ms=SLO_MS)
    assert estimator.capacity.samples > 0
    assert estimator.renewed().capacity.rate_per_instance == pytest.approx(PRIOR_RATE)


@pytest.mark.parametrize("now", [100.0, 40.0, 250.0])
def test_what_was_known_before_a_restart_is_begun_with_and_what_is_seen_now_counts_more(now: float) -> None:
    """An instance may be slower than before it, on another machine: a minute is enough to see it."""
    before = learnt(100.0, wave, 300)
    resumed = CapacityEstimator.resumed(before, age_s=30.0)
    begun = resumed.capacity
    assert (begun.rate_per_instance, begun.samples) == (before.rate_per_instance, before.samples)
    assert begun.low < before.low < before.high < begun.high
    assert learnt(now, steady(0.5), 60, resumed).rate_per_instance == pytest.approx(now, rel=0.1)


def test_what_was_known_days_ago_says_as_little_as_another_version() -> None:
    before = learnt(100.0, wave, 300)
    old, new = (CapacityEstimator.resumed(before, age_s=days * 86_400.0).capacity for days in (3.0, 0.5))
    assert old.high / old.low > 2 * new.high / new.low


@pytest.mark.parametrize("truth", [0.5, 5_000.0])
def test_a_cold_start_is_over_within_twenty_seconds_however_wrong_the_prior(truth: float) -> None:
    found = learnt(truth, steady(0.5), 20)
    assert found.rate_per_instance == pytest.approx(truth, rel=0.15)


def test_intervals_grow_narrower_with_what_was_seen() -> None:
    widths = [found.high / found.low for found in (learnt(100.0, wave, count) for count in (10, 60, 300))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("new", [50.0, 300.0])
def test_a_new_version_that_is_slower_or_faster_is_known_within_a_minute(new: float) -> None:
    estimator = CapacityEstimator()
    learnt(100.0, wave, 600, estimator)
    renewed = estimator.renewed()
    assert renewed.capacity.rate_per_instance == estimator.capacity.rate_per_instance
    assert learnt(new, wave, 60, renewed).rate_per_instance == pytest.approx(new, rel=0.1)


def test_instances_that_become_slower_in_the_middle_are_noticed_within_a_minute() -> None:
    """A neighbour that takes the machine, or a dependency: the version is the same."""
    estimator = CapacityEstimator()
    learnt(100.0, steady(0.4), 900, estimator)
    assert learnt(40.0, steady(0.8), 60, estimator).rate_per_instance == pytest.approx(40.0, rel=0.15)


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls": math.nan},
        {"calls": math.inf},
        {"calls": -5.0},
        {"busy": math.nan},
        {"busy": 40.0},
        {"busy": -0.5},
        {"instances": 0},
        {"instances": -3},
        {"waiting": math.nan},
        {"latency_p95_ms": math.nan},
    ],
)
def test_what_cannot_be_true_is_not_looked_at(wrong: dict[str, float]) -> None:
    estimator = CapacityEstimator()
    learnt(100.0, wave, 300, estimator)
    for seen in seconds(100.0, wave, 60):
        estimator.observe(seen, slo_p95_ms=SLO_MS)
        estimator.observe(msgspec.structs.replace(seen, **wrong), slo_p95_ms=SLO_MS)
    assert estimator.capacity.rate_per_instance == pytest.approx(100.0, rel=ERROR_MAX)


def test_a_peak_of_a_thousand_times_moves_nothing() -> None:
    estimator = CapacityEstimator()
    before = learnt(100.0, wave, 300, estimator)
    for at, seen in enumerate(seconds(100.0, wave, 60, seed=1)):
        peak = msgspec.structs.replace(seen, calls=seen.calls * 1_000) if at == 30 else seen
        estimator.observe(peak, slo_p95_ms=SLO_MS)
    assert estimator.capacity.rate_per_instance == pytest.approx(before.rate_per_instance, rel=0.03)


@given(
    st.lists(
        st.tuples(
            st.floats(),
            st.integers(-1, 5),
            st.none() | st.floats(),
            st.floats(),
            st.none() | st.floats(),
        ),
        max_size=60,
    )
)
def test_whatever_it_is_told_it_answers_with_numbers(told: list[tuple]) -> None:
    estimator = CapacityEstimator()
    for calls, instances, busy, waiting, latency in told:
        for _ in range(3):
            seen = CapacitySeen(calls=calls, instances=instances, busy=busy, waiting=waiting, latency_p95_ms=latency)
            estimator.observe(seen, slo_p95_ms=SLO_MS)
    found = estimator.capacity
    assert all(math.isfinite(value) for value in (found.rate_per_instance, found.low, found.high))
    assert 0 < found.low <= found.rate_per_instance <= found.high


def test_calls_that_wait_tell_the_capacity_when_cpu_does_not() -> None:
    """Of instances that wait for something else: a database, a lock."""
    estimator = CapacityEstimator()
    for _ in range(60):
        seen = CapacitySeen(calls=300.0, instances=INSTANCES, busy=0.05, waiting=50.0)
        estimator.observe(seen, slo_p95_ms=SLO_MS)
    assert estimator.capacity.rate_per_instance == pytest.approx(30.0, rel=ERROR_MAX)


def test_seconds_in_which_instances_came_or_went_are_not_counted_together() -> None:
    """Calls of ten over the time of twenty would make each look half as good."""
    estimator = CapacityEstimator()
    for at in range(60):
        instances = 10 if at // 3 % 2 else 20
        estimator.observe(CapacitySeen(calls=50.0 * instances, instances=instances, busy=0.5), slo_p95_ms=SLO_MS)
    assert estimator.capacity.samples == 0


def test_calls_alone_tell_nothing() -> None:
    estimator = CapacityEstimator()
    for _ in range(60):
        estimator.observe(CapacitySeen(calls=300.0, instances=1, busy=None), slo_p95_ms=SLO_MS)
    assert estimator.capacity == CapacityEstimator().capacity


# -- in the simulator --------------------------------------------------------------------------------------------------

SERVICE = ServiceModel()


class Learning:
    """HPA that keeps the service going, and beside it what is learnt from what production would see."""

    def __init__(self, past: Past, found: list[Capacity]) -> None:
        self._hpa = Hpa(past, target=0.7)
        self._estimator = CapacityEstimator()
        self._found = found
        self._rate = past.service.rate_per_instance
        self._chance = random.Random(1)

    def wanted(self, seen: Seen) -> int:
        busy = float(seen.utilisation[seen.at_s])
        self._estimator.observe(
            CapacitySeen(
                calls=busy * seen.serving * self._rate,  # those that ended
                instances=seen.serving,
                busy=min(1.0, max(0.0, busy + self._chance.gauss(0.0, 0.03))),
                waiting=seen.backlog,
                latency_p95_ms=seen.latency_p95_s * 1_000,
            ),
            slo_p95_ms=SLO_MS,
        )
        self._found.append(self._estimator.capacity)
        return self._hpa.wanted(seen)


@pytest.mark.parametrize("generator", Generator)
def test_in_the_simulator_it_converges_under_ramps_steps_and_noise(generator: Generator) -> None:
    at = np.arange(120)
    load = 100 + 60 * np.sin(2 * np.pi * at / 40) + 200 * (at % 40 == 20)
    found: list[Capacity] = []
    trace = Trace(name="wave", origin="made", load=load, season=40)
    run(trace, SERVICE, functools.partial(Learning, found=found), generator, 1)
    late = found[120:]
    worst = max(abs(each.rate_per_instance / SERVICE.rate_per_instance - 1.0) for each in late)
    assert worst <= ERROR_MAX
    assert all(each.low <= SERVICE.rate_per_instance <= each.high for each in late)
    assert found[-1].busy_max == pytest.approx(SERVICE.utilisation_max, abs=0.076)  # to one and a half bins
