"""The simulator and those in it: repeatable, in line with the formulas, and fair to everybody."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from evals.scaling.arrivals import Generator, arrivals
from evals.scaling.distil import LAYER_1, distil, samples
from evals.scaling.errors import PolicyUnknown, TracesUnusable
from evals.scaling.metrics import score
from evals.scaling.peers.hpa import Hpa
from evals.scaling.peers.simple import Oracle, Static
from evals.scaling.policies import chosen, contestants
from evals.scaling.policy import Past, Seen
from evals.scaling.run import History, run
from evals.scaling.service import ServiceModel
from evals.scaling.study import means, ratios, study, tasks
from evals.scaling.traces import Trace, read_traces

SERVICE = ServiceModel()


def trace(days: int = 3, season: int = 40) -> Trace:
    """A day's wave with a sharp peak."""
    at = np.arange(days * season)
    load = 100 + 60 * np.sin(2 * np.pi * at / season) + 200 * (at % season == season // 2)
    return Trace(name="wave", origin="made", load=load, season=season)


def test_the_slo_is_reached_where_the_formula_says() -> None:
    assert SERVICE.utilisation_max == pytest.approx(0.8745, abs=0.001)
    assert SERVICE.latency_p95_s(SERVICE.utilisation_max, 0.0, 100.0) == pytest.approx(SERVICE.slo_s, abs=1e-3)
    assert SERVICE.needed(0.0) == 1


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    first, again = (run(trace(), SERVICE, functools.partial(Hpa, target=0.7), Generator.RAMP, 1) for _ in range(2))
    other = run(trace(), SERVICE, functools.partial(Hpa, target=0.7), Generator.RAMP, 2)
    assert np.array_equal(first.latency_p95_s, again.latency_p95_s)
    assert not np.array_equal(first.arrivals, other.arrivals)


def test_both_generators_bring_the_load_of_the_trace() -> None:
    for generator in Generator:
        made = arrivals(trace(), SERVICE, generator, 1)
        expected = trace().load.sum() * 60 * 40 * SERVICE.rate_per_instance / np.percentile(trace().load, 99)
        assert made.sum() == pytest.approx(expected, rel=0.03)


def test_who_knows_every_second_breaks_no_promise_and_hpa_does() -> None:
    known = score(run(trace(), SERVICE, Oracle, Generator.RAMP, 1), SERVICE.slo_s)
    hpa = score(run(trace(), SERVICE, functools.partial(Hpa, target=0.7), Generator.RAMP, 1), SERVICE.slo_s)
    assert known.violation_pct < 0.1 < hpa.violation_pct
    assert 1.0 <= known.cost_vs_oracle < 1.6


def test_scores_are_what_a_hand_would_calculate() -> None:
    history = History(
        arrivals=np.array([9.0, 10.0, 10.0, 20.0]),
        smoothed=np.zeros(4),
        serving=np.array([1.0, 1.0, 2.0, 4.0]),
        existing=np.array([1.0, 2.0, 2.0, 4.0]),
        latency_p95_s=np.array([0.1, 0.9, 0.1, 0.1]),
        turned_away=2.0,
        judged_from=1,
        needed=np.array([1.0, 2.0, 2.0, 2.0]),
    )
    found = score(history, 0.5)
    assert found.violation_pct == pytest.approx(100 / 3)
    assert found.bad_request_pct == pytest.approx(100 * 12 / 40)
    assert found.cost_vs_oracle == pytest.approx(8 / 6)
    assert (found.theta_under, found.theta_over) == pytest.approx((100 * 0.5 / 3, 100 * 1 / 3))
    assert (found.changes, found.flaps) == (1, 0)


def hpa_seen(utilisation: float, *, serving: int, starting: int = 0) -> Seen:
    return Seen(
        at_s=60,
        serving=serving,
        starting=starting,
        arrived=0.0,
        rate=0.0,
        backlog=0.0,
        latency_p95_s=0.1,
        utilisation=np.full(61, utilisation),
        concurrency=np.zeros(61),
    )


@pytest.mark.parametrize(
    ("utilisation", "serving", "starting", "wanted"),
    [
        (0.75, 10, 0, 10),  # within the tolerance of 10 %
        (1.0, 10, 0, 15),  # ceil(10 x 1.0 / 0.7)
        (1.0, 2, 0, 3),
        (1.0, 10, 10, 20),  # what is not ready counts as idle: 0.5 of 0.7 is no reason to grow
        (0.35, 10, 0, 5),
    ],
)
def test_hpa_follows_the_documented_rule(utilisation: float, serving: int, starting: int, wanted: int) -> None:
    past = Past(service=SERVICE, minutes=np.ones(2), season=1, seconds=np.ones(120))
    assert Hpa(past, target=0.7).wanted(hpa_seen(utilisation, serving=serving, starting=starting)) == wanted


def test_a_study_names_every_run_and_its_means() -> None:
    rows = study(tasks([trace()], ["aether", "hpa70"], seed=1, service=SERVICE), jobs=1)
    assert [(row.policy, row.generator) for row in rows] == [
        ("aether", "ramp"),
        ("hpa70", "ramp"),
        ("aether", "step"),
        ("hpa70", "step"),
    ]
    assert set(ratios(means(rows))) == {"ramp", "step"}


def test_rules_can_be_distilled_from_any_trace() -> None:
    tree = distil([samples(trace(), SERVICE, Generator.RAMP, 1)], leaves=4, quantile=0.9, columns=LAYER_1)
    assert tree.multiple([0.0] * LAYER_1) >= 1.0


def test_an_unknown_policy_is_named_with_the_nearest() -> None:
    with pytest.raises(PolicyUnknown, match="hpa70"):
        chosen("hpa7")
    assert list(chosen("")) == list(contestants())
    assert Static(Past(service=SERVICE, minutes=np.ones(2), season=1, seconds=np.full(120, 400.0)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "does not begin with"),
        ("timestamp,value\n0,1\n60,x\n", "line 3"),
        ("timestamp,value\n0,1\n60,-1\n", "is no load"),
        ("timestamp,value\n0,1\n60,1\n90,1\n", "even steps"),
        ("timestamp,value\n0,1\n60,1\n120,1\n", "shorter than 2 days"),
    ],
)
def test_a_trace_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(TracesUnusable, match=why):
        read_traces(tmp_path)
