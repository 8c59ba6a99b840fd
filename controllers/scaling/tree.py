"""A tree of rules as plain arrays: which multiple of the present rate to be ready for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.scaling.errors import RulesInvalid
from controllers.scaling.signals import FEATURES

LEAVES_MAX: Final = 64
NODES_MAX: Final = 2 * LEAVES_MAX - 1
LEAF: Final = -1
MULTIPLE_MAX: Final = 20.0


class Node(msgspec.Struct, frozen=True, array_like=True):
    """`feature` -1 is a leaf, and `value` its multiple; else `value` is the threshold: left at or below it."""

    feature: int
    value: float
    left: int = 0
    right: int = 0


class RuleTree(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root is the first node; children come behind their parents, so that it has no cycles."""

    name: str
    features: tuple[str, ...]
    quantile: float
    """The part of the moments that it was made from at which its multiple was enough."""
    nodes: Annotated[tuple[Node, ...], Meta(min_length=1, max_length=NODES_MAX)]

    def multiple(self, features: Sequence[float]) -> float:
        """At least 1."""
        return self.nodes[self._leaf(features)[-1]].value

    def path(self, features: Sequence[float]) -> tuple[str, ...]:
        """The questions that were answered, in words: why the multiple is what it is."""
        found = []
        steps = self._leaf(features)
        for at, to in pairwise(steps):
            node = self.nodes[at]
            sign = "<=" if to == node.left else ">"
            found.append(f"{self.features[node.feature]} {features[node.feature]:.3g} {sign} {node.value:.3g}")
        return tuple(found)

    def _leaf(self, features: Sequence[float]) -> list[int]:
        steps = [0]
        while (node := self.nodes[steps[-1]]).feature != LEAF:
            steps.append(node.left if features[node.feature] <= node.value else node.right)
        return steps


def parse_tree(raw: bytes) -> RuleTree:
    """Raises RulesInvalid."""
    try:
        tree = msgspec.json.decode(raw, type=RuleTree)
    except msgspec.DecodeError as error:
        raise RulesInvalid(str(error)) from error
    if tree.features != FEATURES[: len(tree.features)]:
        raise RulesInvalid(f"its features are not {', '.join(FEATURES)}, in this order")
    for at, node in enumerate(tree.nodes):
        if node.feature == LEAF:
            if not 1.0 <= node.value <= MULTIPLE_MAX:
                raise RulesInvalid(f"leaf {at} has the multiple {node.value}; it must be 1 to {MULTIPLE_MAX}")
        elif not 0 <= node.feature < len(tree.features):
            raise RulesInvalid(f"node {at} asks for feature {node.feature}, which there is none of")
        elif not at < min(node.left, node.right) <= max(node.left, node.right) < len(tree.nodes):
            raise RulesInvalid(f"node {at} leads to {node.left} and {node.right}")
    return tree


def default_tree() -> RuleTree:
    """The tree that comes with the package: distilled from clairvoyant decisions on real traces."""
    from importlib import resources  # here: it takes the command line longer to load than all of the tree

    return parse_tree(resources.files(__package__).joinpath("rules.json").read_bytes())


def as_text(tree: RuleTree) -> str:
    """Indented questions and answers, for people."""
    lines: list[str] = []

    def walk(at: int, depth: int) -> None:
        node, indent = tree.nodes[at], "  " * depth
        if node.feature == LEAF:
            lines.append(f"{indent}be ready for {node.value:.2f} x the present rate")
            return
        lines.append(f"{indent}{tree.features[node.feature]} <= {node.value:.3g}")
        walk(node.left, depth + 1)
        lines.append(f"{indent}{tree.features[node.feature]} > {node.value:.3g}")
        walk(node.right, depth + 1)

    walk(0, 0)
    return "\n".join(lines)
