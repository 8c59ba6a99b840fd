"""Rules that operators write: what they may say, when they hold, and what comes of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from controllers.scaling.decide import decide
from controllers.scaling.errors import OwnRulesInvalid
from controllers.scaling.model import Because, OwnRules, ScalingPolicy, SliceSeen, StableRule, Surroundings
from controllers.scaling.own_rules import RuleSet, Signal, parse_own_rules, rules_of
from controllers.scaling.rule_watch import RuleWatch
from controllers.scaling.tree import LEAF, Node, RuleTree
from runtime.operations.dispatch import Applied, Refused, Submission
from tests.unit.gate_parts import GateOnHand, person

TREE = RuleTree(name="one leaf", features=(), quantile=0.5, nodes=(Node(LEAF, 1.0),))
BUSY = """
[[rules]]
name = "calls wait"
when = [{ signal = "waiting", above = 5 }, { signal = "rate", trend = "rising" }]
stable_for_s = 3
step = 2
cool_down_s = 60
"""
ALONE = """
tree = false
[[rules]]
name = "busy"
when = [{ signal = "cpu", above = 0.8 }]
stable_for_s = 10
step = 1
[[rules]]
name = "calm"
when = [{ signal = "cpu", below = 0.4 }]
stable_for_s = 60
step = -1
"""


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules = []", "length >= 1"),
        ("[[rules", "no TOML"),
        (changed(BUSY, "waiting", "queue"), "Invalid enum value 'queue'"),
        (changed(BUSY, "above", "over"), "unknown field `over`"),
        (changed(BUSY, ", above = 5", ""), "asks nothing of waiting"),
        (changed(BUSY, "above = 5", "above = nan"), "above"),
        (changed(BUSY, "above = 5", "above = 5, below = 5"), "never holds"),
        (changed(BUSY, "step = 2", "step = 0"), "step of 0"),
        (changed(BUSY, "step = 2", "step = -2"), "tree = false"),
        (BUSY + BUSY, "two rules called"),
        (changed(ALONE, "stable_for_s = 60", "stable_for_s = 5"), "would oscillate: before instances go"),
        (changed(ALONE, "below = 0.4", "below = 0.7"), "would oscillate: no signal keeps them apart"),
        (changed(ALONE, 'signal = "cpu", below', 'signal = "rate", below'), "would oscillate"),
        ("#" * 9_000, "at most 8192 bytes"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(OwnRulesInvalid, match=why):
        parse_own_rules(text)


class Watched:
    """One slice's seconds, by their signals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        self.rules = parse_own_rules(text)
        self.watch = RuleWatch()
        self._now: Mapping[Signal, float] = {}
        monkeypatch.setattr("controllers.scaling.rule_watch.signals_of", lambda _load, _serving: self._now)

    def second(self, **signals: float) -> list[str]:
        self._now = {Signal(name): value for name, value in signals.items()}
        found = self.watch.take(self.rules, None, 1)
        assert found is not None
        return [rule.name for rule in found.stable]


def test_a_rule_is_stable_once_all_it_asks_has_held_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of which nothing is known breaks it: nothing is scaled on figures that are missing."""
    at = Watched(monkeypatch, changed(BUSY, ', { signal = "rate", trend = "rising" }', ""))
    assert [at.second(waiting=6.0) for _ in range(3)] == [[], [], ["calls wait"]]
    assert at.second(waiting=5.0) == []
    assert [at.second(waiting=6.0) for _ in range(2)] == [[], []]
    assert at.second() == []
    assert [at.second(waiting=6.0) for _ in range(3)] == [[], [], ["calls wait"]]


@pytest.mark.parametrize(("slope", "rises"), [(0.0, False), (0.001, False), (0.02, True), (-0.02, False)])
def test_a_trend_is_one_over_thirty_seconds(monkeypatch: pytest.MonkeyPatch, slope: float, rises: bool) -> None:
    at = Watched(monkeypatch, BUSY)
    seconds = [at.second(waiting=9.0, rate=100.0 * (1 + slope * second)) for second in range(40)]
    assert (seconds[-1] == ["calls wait"]) is rises
    assert not any(seconds[:29]), "of less than thirty seconds nobody knows a trend"


def seen(serving: int, rules: OwnRules, **members: object) -> SliceSeen:
    found = SliceSeen(rate=100.0, serving=serving, least=0, rate_per_instance=100.0, own_rules=rules)
    return msgspec.structs.replace(found, **members)


def own(*steps: int, tree: bool, cool_down_s: int = 60) -> OwnRules:
    rules = [StableRule(name=f"rule {step}", step=step, cool_down_s=cool_down_s) for step in steps]
    return OwnRules(tree=tree, stable=tuple(rules))


POLICY = ScalingPolicy(utilisation=0.5, spare_starts=0.0)  # the tree wants two for 100 calls a second


@pytest.mark.parametrize(
    ("serving", "rules", "members", "wanted", "because"),
    [
        (2, own(tree=True), {}, 2, Because.RULES),
        (2, own(3, 1, tree=True), {}, 5, Because.OWN_RULE),
        (4, own(1, tree=True), {"rate": 900.0}, 18, Because.RULES),  # the tree keeps more
        (4, own(tree=False), {}, 4, Because.ENOUGH),  # and where it is not asked, nothing goes by itself
        (4, own(-1, -2, tree=False), {}, 3, Because.OWN_RULE),
        (4, own(2, -1, tree=False), {}, 6, Because.OWN_RULE),
        (0, own(tree=False), {"waiting": 2.0}, 1, Because.WAITING),
        (4, own(2, tree=True), {"rate_per_instance": 0.0}, 6, Because.OWN_RULE),  # nothing learnt yet
    ],
)
def test_what_stable_rules_want(
    serving: int, rules: OwnRules, members: dict[str, object], wanted: int, because: Because
) -> None:
    found = decide(POLICY, TREE, seen(serving, rules, **members))
    assert (found.wanted, found.because[0]) == (wanted, because)


def test_a_rule_waits_for_its_cool_down_and_names_itself() -> None:
    rules = own(2, tree=False, cool_down_s=60)
    assert decide(POLICY, TREE, seen(2, rules), Surroundings(since_change_s=59.0)).wanted == 2
    found = decide(POLICY, TREE, seen(2, rules), Surroundings(since_change_s=60.0))
    assert (found.wanted, found.path) == (4, ("rule 2",))


def test_without_figures_no_rule_moves_anything() -> None:
    for tree in (True, False):
        found = decide(POLICY, TREE, seen(2, own(5, tree=tree), rate=None))
        assert (found.wanted, found.because) == (2, (Because.NO_METRICS,))


@pytest.mark.anyio
async def test_a_slices_own_rules_go_before_the_clusters_and_come_back_when_undone() -> None:
    hand = GateOnHand()
    await hand.populate()

    async def ask(operation: str, **request: str) -> Applied | Refused:
        answer = await hand.gate.submit(Submission(operation=operation, request={**request}, actor=person("anna")))
        assert isinstance(answer, Applied | Refused)
        return answer

    def in_force(name: str) -> RuleSet | None:
        return rules_of(hand.state, name)

    assert in_force("orders") is None
    assert isinstance(await ask("controller.set-rules", source=BUSY), Applied)
    first = await ask("controller.set-rules", slice="orders", source=ALONE)
    assert isinstance(first, Applied)
    assert in_force("orders") == parse_own_rules(ALONE)
    assert in_force("payment") == parse_own_rules(BUSY)
    refused = await ask("controller.set-rules", slice="orders", source="[[rules]]")
    assert isinstance(refused, Refused)
    assert refused.code == "scaling_rules_invalid"
    assert isinstance(await ask("controller.unset-rules", slice="orders"), Applied)
    assert in_force("orders") == parse_own_rules(BUSY)
    assert isinstance(await ask("controller.unset-rules"), Applied)
    assert in_force("orders") is None
