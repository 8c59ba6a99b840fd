"""The simulator and those in it: repeatable, in line with the formulas, and fair to everybody."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controllers.scaling.tree import LEAF, Node, RuleTree
from evals.scaling.arrivals import Generator, arrivals
from evals.scaling.conditions import Conditions, scenario
from evals.scaling.distil import LAYER_1, distil, samples
from evals.scaling.errors import PolicyUnknown, ScenarioUnknown, TracesUnusable
from evals.scaling.measured import Measured, Moment
from evals.scaling.metrics import Score, score
from evals.scaling.node_level import NodeLevel
from evals.scaling.peers.hpa import Hpa
from evals.scaling.peers.keda import Keda
from evals.scaling.peers.simple import Oracle, Static
from evals.scaling.policies import Made, chosen, contestants
from evals.scaling.policy import Past, Seen
from evals.scaling.report import page
from evals.scaling.run import History, run, run_shared
from evals.scaling.service import ServiceModel
from evals.scaling.study import Row, means, ratios, study, tasks
from evals.scaling.targets import targets
from evals.scaling.traces import Trace, read_traces
from evals.scaling.world import Nodes, World

SERVICE = ServiceModel()
TREE = RuleTree(name="one leaf", features=(), quantile=0.5, nodes=(Node(LEAF, 1.0),))


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
        turned_away=np.array([7.0, 1.0, 2.0, 0.0]),
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
    rows = study(tasks([trace(2, 20)], ["aether", "hpa70"], seed=1, service=SERVICE), jobs=1)
    assert [(row.policy, row.generator) for row in rows] == [
        ("aether", "ramp"),
        ("hpa70", "ramp"),
        ("aether", "step"),
        ("hpa70", "step"),
    ]
    assert set(ratios(means(rows))) == {"ramp", "step"}


def scored(policy: str, violation_pct: float, cost: float, *, trace: str = "a") -> Row:
    """One run under ramps."""
    zeros = dict.fromkeys(("theta_under", "theta_over", "tau_under", "tau_over", "upsilon"), 0.0)
    score = Score(violation_pct=violation_pct, bad_request_pct=1.0, cost_vs_oracle=cost, changes=0, flaps=0, **zeros)
    return Row(trace=trace, policy=policy, generator=Generator.RAMP, score=score)


def test_a_study_says_which_targets_were_reached_and_how_near_the_others_are() -> None:
    rows = [
        scored("aether", 0.5, 1.30),
        scored("hpa70", 4.0, 1.36),
        scored("hpa50", 0.4, 2.10),
        scored("aether", 0.3, 1.60, trace="b"),
        scored("hpa70", 0.2, 1.50, trace="b"),
        scored("hpa50", 0.1, 2.00, trace="b"),
    ]
    found = {each.name: (round(each.value, 3), each.verdict) for each in targets(rows, means(rows))}
    assert found == {
        "violations_hpa70_over_aether": (5.25, "reached, the aim not"),
        "cost_aether_over_hpa70": (1.014, "missed"),
        "traces_worse_than_hpa70_in_both": (1.0, "missed"),
        "violations_aether_over_hpa50": (1.6, "missed"),
        "cost_aether_over_hpa50": (0.707, "missed"),
        "violation_pct": (0.4, "the aim not"),
        "cost_vs_oracle": (1.45, "the aim not"),
    }
    assert {each.name for each in targets([rows[0]], means([rows[0]]))} == {"violation_pct", "cost_vs_oracle"}


def test_rules_can_be_distilled_from_any_trace() -> None:
    known = samples(trace(), SERVICE, Generator.RAMP, 1)
    cheap, dear = (distil([known], leaves=4, miss_price=price) for price in (0.2, 20.0))
    assert 1.0 <= cheap.multiple([0.0] * LAYER_1) < dear.multiple([0.0] * LAYER_1)
    assert cheap.quantile < dear.quantile


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


def moment(at: int, arrived: float) -> Moment:
    return Moment(
        at_s=at,
        serving=at,
        starting=0,
        arrived=arrived,
        rate=arrived,
        backlog=0.0,
        latency_p95_s=0.1,
        utilisation=arrived / 100,
        concurrency=1.0,
        room=None,
    )


def test_late_metrics_are_those_of_a_while_ago_but_instances_are_known_at_once() -> None:
    measured = Measured(Conditions(metric_delay_s=2), count=4, seed=1)
    seen = [measured.seen(moment(at, 10.0 * at)) for at in range(4)]
    assert [(each.arrived, each.serving) for each in seen] == [(0.0, 0), (0.0, 1), (0.0, 2), (10.0, 3)]
    assert seen[-1].utilisation.tolist() == [0.0, 0.0, 0.0, 0.1]


def test_metrics_that_never_come_leave_the_last_ones() -> None:
    measured = Measured(Conditions(metric_gap=1.0), count=3, seed=1)
    assert [measured.seen(moment(at, 5.0 + at)).arrived for at in range(3)] == [5.0, 5.0, 5.0]


def world(conditions: Conditions, first: int = 4) -> World:
    service = ServiceModel(conditions=conditions)
    return World(service, Nodes(conditions, 1), first=first, count=400, seed=1)


def test_full_nodes_take_no_more() -> None:
    full = world(Conditions(nodes=1, instances_per_node=6))
    full.scale(0, 20)
    assert [(now.serving, now.starting, now.room) for now in [full.second(1, 0.0, 0.0)]] == [(4, 2, 0)]
    full.scale(1, 4)
    assert full.second(2, 0.0, 0.0).room == 2


def test_slices_on_the_same_nodes_leave_each_other_less() -> None:
    alone = ServiceModel(conditions=Conditions(nodes=6))
    histories = run_shared([trace(2, 20), trace(2, 20)], alone, Oracle, Generator.RAMP, 1)
    together = histories[0].existing + histories[1].existing
    assert together.max() == 60
    assert max(each.existing.max() for each in histories) > 30


def test_nodes_come_where_there_is_no_room_and_go_when_all_fit_on_fewer() -> None:
    """By the decision of production: after a minute without room, and half an hour with room to spare."""
    conditions = Conditions(nodes=1, instances_per_node=4, nodes_most=2, node_start_s=30.0)
    nodes = Nodes(conditions, 1)
    level, up = NodeLevel(conditions, nodes), []
    for at in range(4_000):
        level.second(at, wanted=4 if at < 200 else 2, without_room=3 if at < 90 else 0)
        up.append(nodes.up)
    assert [up.index(2), up[89], max(up), up[-1]] == [90, 1, 2, 1]
    assert 1_900 < up.index(1, 91) < 2_100


def test_ours_asks_for_nodes_that_it_has_no_room_on() -> None:
    full = Conditions(nodes=1, instances_per_node=20)
    grown = replace(full, nodes_most=4)
    ours = chosen("aether-tree")["aether-tree"].make
    found = [
        run(trace(2, 20), ServiceModel(conditions=each), ours, Generator.RAMP, 1).existing.max()
        for each in (full, grown)
    ]
    assert found[0] == 20
    assert found[1] > 30


def test_a_node_that_fails_takes_its_part_and_comes_back() -> None:
    conditions = Conditions(nodes=2, instances_per_node=4, node_fails_each_s=1.0, node_back_s=5)
    nodes = Nodes(conditions, 1)
    assert [nodes.second(at) for at in range(4)] == [0.5, 0.0, 0.0, 0.0]  # the last one never fails
    assert nodes.free == 4
    nodes.second(5)
    assert world(Conditions()).second(0, 100.0, 100.0, lost=0.5).serving == 2


def test_instances_may_differ_and_start_in_their_own_time() -> None:
    uneven = world(Conditions(capacity_spread=0.2), first=40)
    first = uneven.second(0, 4_000.0, 4_000.0)
    assert first.backlog > 0 or first.utilisation < 1.0
    slow = world(Conditions(start_s=(20.0, 120.0), start="lognormal"))
    slow.scale(0, 204)
    begun = [slow.second(at, 0.0, 0.0).serving for at in range(1, 400)]
    assert 80 < begun[20] < 130
    assert begun[118] < 204 == begun[-1]


def test_keda_asks_for_the_rate_over_its_threshold() -> None:
    past = Past(service=SERVICE, minutes=np.ones(2), season=1, seconds=np.ones(120))
    keda = Keda(past, target=0.7)
    wanted = [
        keda.wanted(replace(hpa_seen(0.5, serving=10), at_s=at, arrived=1_400.0 if at < 61 else 0.0))
        for at in range(76)
    ]
    assert wanted[-2:] == [10, 20]  # ceil(1400 / 70) at the first whole quarter minute with a minute of metrics


def test_the_report_shows_every_policy_and_draws_each_run() -> None:
    rows = study(tasks([trace(2, 20)], ["hpa70", "static"], seed=1, service=SERVICE, drawn=True), jobs=1)
    document = page(rows, means(rows), ratios(means(rows)), conditions="one trace <made>")
    assert "one trace &lt;made&gt;" in document
    assert document.count("<svg") == 2
    assert all(f"<td>{name}</td>" in document for name in ("hpa70", "static"))
    assert "http" not in document


def test_an_unknown_scenario_is_named_with_the_nearest() -> None:
    with pytest.raises(ScenarioUnknown, match="failures"):
        scenario("failure")
    assert scenario("default") == Conditions()


def test_rules_for_an_origin_know_no_trace_of_it() -> None:
    one, other = (replace(trace(2, 20), name=name, origin=name) for name in ("one", "other"))
    found = {
        task.traces[0].origin: task.made.tree
        for task in tasks([one, other], ["aether"], seed=1, service=SERVICE, made={"one": Made(tree=TREE)})
    }
    assert found == {"one": TREE, "other": None}
