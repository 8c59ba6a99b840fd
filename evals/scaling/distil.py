"""The default rules: a small tree that was told, at many moments of real traces, what a clairvoyant would have done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from controllers.scaling.signals import FEATURES, LoadSignals
from controllers.scaling.tree import LEAF, MULTIPLE_MAX, Node, RuleTree
from evals.scaling.arrivals import MINUTE_S, Generator, arrivals, scaled
from evals.scaling.run import smooth
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Floats, Trace

LAYER_1: Final = 8  # of FEATURES: those that need no forecast
AHEAD_S: Final = 75  # until an instance that is ordered now serves, and a little more
EACH_S: Final = 30
SAMPLES_PER_TRACE: Final = 12_000
LEAF_SAMPLES_MIN: Final = 300
MULTIPLE_LEARNT_MAX: Final = 6.0


def samples(trace: Trace, service: ServiceModel, generator: Generator, seed: int) -> tuple[Floats, Floats]:
    """Features at every half minute, and which multiple of the rate then the next 75 seconds needed."""
    incoming = arrivals(trace, service, generator, seed)
    rates, minutes = smooth(incoming), scaled(trace, service)
    signals, features, multiples = LoadSignals(), [], []
    for at, requests in enumerate(incoming.tolist()):
        signals.take(requests)
        if at % EACH_S or not signals.is_warm or at + AHEAD_S >= len(rates):
            continue
        features.append(signals.features(day_ago_ratio=_day_ago(minutes, trace.season, at)))
        multiples.append(float(rates[at : at + AHEAD_S + 1].max()) / (signals.rate + 1e-6))
    kept = np.random.default_rng(seed).permutation(len(features))[:SAMPLES_PER_TRACE]
    found = np.clip(np.array(multiples), 1.0, MULTIPLE_LEARNT_MAX)
    return np.array(features)[kept], found[kept]


def distil(parts: Iterable[tuple[Floats, Floats]], *, leaves: int, quantile: float, columns: int) -> RuleTree:
    """A leaf's multiple is a high quantile of those that were right there, not their mean: too few instances cost more
    than too many. columns: how many of FEATURES it may look at."""
    gathered = list(parts)
    features = np.concatenate([each for each, _ in gathered])[:, :columns]
    multiples = np.concatenate([each for _, each in gathered])
    model = DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=LEAF_SAMPLES_MIN, random_state=0)
    model.fit(features, np.log(multiples))
    where = model.apply(features)
    values = {int(leaf): float(np.quantile(multiples[where == leaf], quantile)) for leaf in np.unique(where)}
    return RuleTree(
        name=f"distilled, {leaves} leaves at most",
        features=FEATURES[:columns],
        quantile=quantile,
        nodes=_nodes(model, values),
    )


def _nodes(model: DecisionTreeRegressor, values: dict[int, float]) -> tuple[Node, ...]:
    tree = model.tree_
    return tuple(
        Node(LEAF, round(min(max(values[at], 1.0), MULTIPLE_MAX), 4))
        if tree.children_left[at] < 0
        else Node(
            int(tree.feature[at]),
            round(float(tree.threshold[at]), 6),
            int(tree.children_left[at]),
            int(tree.children_right[at]),
        )
        for at in range(tree.node_count)
    )


def _day_ago(minutes: Floats, season: int, at_s: int) -> float | None:
    at = at_s // MINUTE_S - season
    if at < 1:
        return None
    return float(minutes[at : at + 3].max()) / (float(minutes[at - 1]) + 1e-6)
