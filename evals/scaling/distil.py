"""The default rules: a small tree that was told, at many moments of real traces, what a clairvoyant would have done."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from controllers.scaling.judging import quantiles_of
from controllers.scaling.signals import FEATURES, LoadSignals
from controllers.scaling.tree import LEAF, MULTIPLE_MAX, Node, RuleTree
from controllers.ttm.cycle import Model
from evals.scaling.arrivals import Generator, arrivals
from evals.scaling.days import a_day_ago, minute_means
from evals.scaling.foreseen import SLICE, Foreseen, Unforeseen, model_at
from evals.scaling.run import oracle, smooth
from evals.scaling.service import ServiceModel
from evals.scaling.synthetic import synthetic
from evals.scaling.traces import Floats, Trace

LAYER_1: Final = 17  # of FEATURES: those that need no forecast, which the tree asks about
AHEAD_S: Final = 60  # until an instance that is ordered now serves
EACH_S: Final = 30
SAMPLES_PER_TRACE: Final = 6_000
LEAF_SAMPLES_MIN: Final = 300
MULTIPLE_LEARNT_MAX: Final = 6.0
SYNTHETIC_SEED: Final = 7
ROWS: Final = 11_520  # of each trace: its last, eight days of minutes
MISS_PRICE: Final = 2.15  # where the shipped rules lie between cost and violations
SEVERE: Final = 0.3  # log of the multiple that was missing: it counts as one miss, twice as much as two at most
MISSES_MAX: Final = 2.0
LEVELS: Final = np.exp(np.arange(0.0, np.log(MULTIPLE_LEARNT_MAX) + 0.005, 0.01))  # that a leaf may choose among


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Moments of one trace: features [n, len(FEATURES)], the multiple of the rate that the next minute needed [n], and
    what one more multiple costs then [n], as a part of the oracle's mean cost."""

    features: Floats
    multiples: Floats
    prices: Floats


def samples(
    trace: Trace, service: ServiceModel, generator: Generator, seed: int, model: Model | None = None
) -> Samples:
    """At every half minute, SAMPLES_PER_TRACE of them at most. model: of layer 2, one that never saw this origin, else
    forecasts are better than they will be; without one they are 0, as while there is none."""
    incoming = arrivals(trace, service, generator, seed)
    rates, minutes = smooth(incoming), minute_means(incoming)
    dear = float(oracle(rates, service).mean()) * service.rate_per_instance * service.utilisation_max
    signals, features, multiples, prices = LoadSignals(), [], [], []
    outlook = Foreseen(model, season=trace.season, band=None) if model is not None else Unforeseen()
    for at, requests in enumerate(incoming.tolist()):
        signals.take(requests)
        outlook.second(at + 1, minutes)
        if at % EACH_S or not signals.is_warm or at + AHEAD_S >= len(rates):
            continue
        features.append(
            signals.features(
                day_ago_ratio=a_day_ago(minutes, trace.season, at), forecast=quantiles_of(outlook.forecast(SLICE))
            )
        )
        multiples.append((float(rates[at : at + AHEAD_S + 1].max()) + 1.0) / (signals.rate + 1.0))
        prices.append(signals.rate / dear)
    kept = np.random.default_rng(seed).permutation(len(features))[:SAMPLES_PER_TRACE]
    return Samples(
        features=np.array(features)[kept],
        multiples=np.clip(np.array(multiples), 1.0, MULTIPLE_LEARNT_MAX)[kept],
        prices=np.array(prices)[kept],
    )


def gathered(
    traces: Sequence[Trace], *, jobs: int, models: Callable[[Trace], Path | None] = lambda _trace: None
) -> list[tuple[str, Samples]]:
    """Of those traces and of synthetic ones, with their origins, under both generators, on so many cores at a time.
    models: where the model of layer 2 is that forecasts a trace."""
    whole = (*traces, *synthetic(SYNTHETIC_SEED))
    work = [(each, generator, models(each)) for each in whole for generator in Generator]
    if jobs <= 1:
        return [(each[0].origin, _samples(each)) for each in work]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        found = pool.map(_samples, work, chunksize=1)
    return [(each[0].origin, part) for each, part in zip(work, found, strict=True)]


def _samples(work: tuple[Trace, Generator, Path | None]) -> Samples:
    trace, generator, model = work
    return samples(trace, ServiceModel(), generator, 1, model_at(model) if model is not None else None)


def distil(parts: Iterable[Samples], *, leaves: int, miss_price: float) -> RuleTree:
    """Splits tell apart what was needed; a leaf's multiple is where one more costs as much as the shortages it spares.
    miss_price: of a shortage of SEVERE, as a part of the oracle's mean cost: it moves along cost against violations."""
    known = list(parts)
    features = np.concatenate([each.features[:, :LAYER_1] for each in known])
    multiples = np.concatenate([each.multiples for each in known])
    prices = np.concatenate([each.prices for each in known])
    model = DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=LEAF_SAMPLES_MIN, random_state=0)
    model.fit(features, np.log(multiples))
    where = model.apply(features)
    values = {
        int(leaf): _cheapest(multiples[where == leaf], float(prices[where == leaf].mean()), miss_price)
        for leaf in np.unique(where)
    }
    enough = multiples <= np.vectorize(values.__getitem__)(where) + 0.005
    return RuleTree(
        name=f"distilled, {leaves} leaves at most, shortages at {miss_price:g}",
        features=FEATURES[:LAYER_1],
        quantile=round(float(enough.mean()), 3),
        nodes=_nodes(model, values),
    )


def _cheapest(multiples: Floats, price: float, miss_price: float) -> float:
    """The level with the least expected cost, by the newsvendor's reasoning. Instances count where load is high, so a
    multiple is dear there and cheap where little runs."""
    edges = np.append(np.log(LEVELS) - 0.005, np.inf)
    shares = np.histogram(np.log(multiples), bins=edges)[0] / len(multiples)
    missing = np.clip((np.log(LEVELS)[:, None] - np.log(LEVELS)[None, :]) / SEVERE, 0.0, MISSES_MAX)
    return float(LEVELS[np.argmin(price * LEVELS + miss_price * (shares[:, None] * missing).sum(axis=0))])


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
