"""The boosted model corrects the rules within limits, and what is wrong with it costs the correction alone."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from controllers.scaling.boosted import HIGHEST, LOWEST, SHIPPED, BoostedRules, corrected, open_boosted
from controllers.scaling.decide import by_rules
from controllers.scaling.ensemble import LEAVES_MAX, Leaf, Split, TreeEnsemble
from controllers.scaling.errors import BoostedInvalid
from controllers.scaling.model import ScalingPolicy, SliceSeen
from controllers.scaling.signals import FEATURES
from controllers.scaling.tree import LEAF, Node, RuleTree

STILL = (0.0,) * len(FEATURES)
TREE = RuleTree(name="half more", features=FEATURES[:1], quantile=0.5, nodes=(Node(LEAF, 1.5),))
SEEN = SliceSeen(rate=1_000.0, features=STILL, serving=10, rate_per_instance=100.0)
POLICY = ScalingPolicy(utilisation=0.5)


@pytest.mark.parametrize(
    ("tree", "boosted", "found"),
    [(1.5, None, 1.5), (1.5, 1.6, 1.6), (1.5, 9.0, 1.5 * HIGHEST), (2.0, 1.0, 2.0 * LOWEST), (1.1, 0.5, 1.0)],
)
def test_a_correction_stays_within_its_limits(tree: float, boosted: float | None, found: float) -> None:
    assert corrected(tree, boosted) == pytest.approx(found)


def test_rules_are_corrected_unless_the_policy_says_no_and_the_path_tells() -> None:
    seen = msgspec.structs.replace(SEEN, boosted=1.2)
    assert [by_rules(POLICY, TREE, each).wanted for each in (SEEN, seen)] == [30, 24]
    alone = msgspec.structs.replace(POLICY, boosted=False)
    assert by_rules(alone, TREE, seen).wanted == 30
    assert by_rules(POLICY, TREE, seen, explain=True).path[-1] == "1.50 x by the tree, 1.20 x by the boosted model"
    assert by_rules(alone, TREE, seen, explain=True).path == ()


class Trees(TreeEnsemble):
    """Whose answers are given."""

    def __init__(self, *answers: float | Exception) -> None:
        self._answers = iter(answers)

    def value(self, features: Sequence[float]) -> float:
        found = next(self._answers)
        if isinstance(found, Exception):
            raise found
        return found


def test_a_model_that_fails_is_told_once_until_it_is_well_again() -> None:
    told: list[str] = []
    trees = Trees(0.0, OverflowError("too large"), float("nan"), -1.0, float("-inf"), 1e9)
    rules = BoostedRules(trees, "", log_max=2.0, failed=told.append)
    assert [rules.multiple(STILL) for _ in range(6)] == [1.0, None, None, 1.0, None, math.exp(2.0)]
    assert told == ["it did not run: too large", "it gave -inf"]


def random_tree(chance: random.Random, leaves: int) -> Split | Leaf:
    if leaves == 1:
        return Leaf(chance.uniform(-1, 1))
    left = chance.randint(1, leaves - 1)
    sides = random_tree(chance, left), random_tree(chance, leaves - left)
    return Split(chance.randrange(4), chance.choice((-1.0, 0.0, 0.5, 2.0)), *sides)


def walked(tree: Split | Leaf, features: Sequence[float]) -> float:
    while isinstance(tree, Split):
        tree = tree.left if features[tree.feature] <= tree.threshold else tree.right
    return tree.value


@pytest.mark.parametrize("seed", range(20))
def test_all_trees_at_once_say_what_each_one_says_when_it_is_walked(seed: int) -> None:
    chance = random.Random(seed)
    trees = [random_tree(chance, chance.randint(1, LEAVES_MAX)) for _ in range(chance.randint(1, 9))]
    ensemble = TreeEnsemble(trees, base=0.25, features=4)
    for _ in range(50):
        features = [chance.choice((-1.0, 0.0, 0.5, 2.0, -3.5, 0.25, 7.0)) for _ in range(4)]
        assert ensemble.value(features) == pytest.approx(0.25 + sum(walked(tree, features) for tree in trees))


def test_a_tree_with_more_leaves_than_a_field_has_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="33 leaves"):
        TreeEnsemble([random_tree(random.Random(1), LEAVES_MAX + 1)], base=0.0, features=4)


def test_features_that_are_no_numbers_for_the_trees_are_told() -> None:
    told: list[str] = []
    rules = open_boosted(failed=told.append)
    assert rules.multiple((1e300, *STILL[1:])) is None
    assert rules.multiple(STILL[1:]) is None
    assert len(told) == 1


def test_no_file_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BoostedInvalid, match="cannot be read"):
        open_boosted(tmp_path / "boosted.onnx")
    (tmp_path / "boosted.onnx").write_bytes(b"no graph")
    with pytest.raises(BoostedInvalid, match="no ensemble of trees"):
        open_boosted(tmp_path / "boosted.onnx")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b"slope_10s", b"slope_20s", "its features are not"),
        (b"BRANCH_LEQ", b"BRANCH_LTE", "no ensemble of trees: a tree asks"),
        (b"TreeEnsembleRegressor", b"TreeEnsembleRegressoR", "no ensemble of trees: its steps are"),
        (b"nodes_values", b"nodes_valueS", "no ensemble of trees: 'nodes_values'"),
    ],
)
def test_a_graph_that_asks_something_else_is_refused(tmp_path: Path, before: bytes, after: bytes, why: str) -> None:
    raw = SHIPPED.read_bytes()
    assert before in raw
    path = tmp_path / "boosted.onnx"
    path.write_bytes(raw.replace(before, after))
    with pytest.raises(BoostedInvalid, match=re.escape(why)):
        open_boosted(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_ends_too_early_is_refused(tmp_path: Path, share: float) -> None:
    raw = SHIPPED.read_bytes()
    path = tmp_path / "boosted.onnx"
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(BoostedInvalid):
        open_boosted(path)
