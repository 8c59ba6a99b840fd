"""A challenger: the champion's head fitted anew to what slices really did, on features that stay as they are.

The mixer is frozen and only the last, linear step learns, so numpy is enough and one fit takes seconds; it runs in a
process of its own. The same samples and seed give the same head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.errors import TrainingDataTooShort
from controllers.ttm.head import Head, normalised, quantiles_of
from controllers.ttm.history import Floats
from controllers.ttm.schema import HORIZONS, MEDIAN, QUANTILES

SAMPLES_MIN: Final = 1_440  # a day of one slice: from less, 9,600 weights learn a night by heart
_LEVELS: Final = np.array(QUANTILES, dtype=np.float32)
_MOMENTUM: Final = (0.9, 0.999)  # Adam's, as published
_TINY: Final = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """features [n, features] and normalisation [n, 4] as the graph gives them; target [n, HORIZONS]: the load that
    came, requests a minute, NaN where nobody measured."""

    features: Floats
    normalisation: Floats
    target: Floats

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, which: NDArray[np.intp] | slice) -> Samples:
        return Samples(
            features=self.features[which], normalisation=self.normalisation[which], target=self.target[which]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPolicy:
    """`near` pulls towards the champion's head: what the newest days do not speak of stays as it was learnt."""

    steps: int = 400
    batch: int = 512
    rate: float = 1e-3
    near: float = 1e-2
    look_every: int = 25
    """Steps between two looks at the validation samples; the best head so far is what is given back."""
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """`before` and `after`: mean normalised pinball loss on the validation samples, of the champion and of this."""

    head: Head
    before: float
    after: float
    steps: int


def fit(policy: FitPolicy, champion: Head, learn: Samples, check: Samples) -> Fitted:
    """The best head found; the champion's own where none was better on `check`. Raises TrainingDataTooShort."""
    if len(learn) < SAMPLES_MIN:
        raise TrainingDataTooShort(len(learn), SAMPLES_MIN)
    before = loss_and_slope(champion, champion, check, near=0.0)[0]
    best, least, at = champion, before, 0
    for step, head in enumerate(_descent(policy, champion, learn), start=1):
        if step % policy.look_every:
            continue
        loss = loss_and_slope(head, champion, check, near=0.0)[0]
        if loss < least:
            best, least, at = head, loss, step
    return Fitted(head=best, before=before, after=least, steps=at)


def _descent(policy: FitPolicy, champion: Head, learn: Samples) -> Iterator[Head]:
    """Heads, step by step: Adam (Kingma & Ba 2015), with a rate that falls to nothing like a cosine's quarter."""
    chance = np.random.default_rng(policy.seed)
    theta = np.concatenate([champion.weight.ravel(), champion.bias]).astype(np.float64)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    keep_first, keep_second = _MOMENTUM
    for step in range(1, policy.steps + 1):
        batch = learn.rows(chance.integers(0, len(learn), policy.batch))
        slope = loss_and_slope(_unpacked(theta, champion), champion, batch, near=policy.near)[1]
        first = keep_first * first + (1 - keep_first) * slope
        second = keep_second * second + (1 - keep_second) * slope**2
        rate = policy.rate * np.cos(np.pi / 2 * (step - 1) / policy.steps)
        away = np.sqrt(second / (1 - keep_second**step)) + _TINY
        theta = theta - rate * first / (1 - keep_first**step) / away
        yield _unpacked(theta, champion)


def _unpacked(theta: NDArray[np.float64], like: Head) -> Head:
    cut = like.weight.size
    values = theta.astype(np.float32)
    return Head(weight=values[:cut].reshape(like.weight.shape), bias=values[cut:])


def loss_and_slope(head: Head, champion: Head, samples: Samples, *, near: float) -> tuple[float, NDArray[np.float64]]:
    """Mean normalised pinball loss, with `near` times the squared distance to the champion's head, and its slope by
    weight and bias. Unknown targets do not count."""
    raw = samples.features @ head.weight.T + head.bias
    error = normalised(samples.target, samples.normalisation)[..., None] - quantiles_of(raw, samples.normalisation)
    known = np.isfinite(error)
    count = max(int(known.sum()), 1)
    error = np.where(known, error, 0.0)
    loss = float(np.maximum(_LEVELS * error, (_LEVELS - 1) * error).sum()) / count
    by_quantile = np.where(known, np.where(error > 0, -_LEVELS, 1 - _LEVELS), 0.0) / count
    by_raw = _through_steps(by_quantile, raw)
    moved_weight, moved_bias = head.weight - champion.weight, head.bias - champion.bias
    by_weight = by_raw.T @ samples.features + 2 * near * moved_weight
    by_bias = by_raw.sum(axis=0) + 2 * near * moved_bias
    distance = float((moved_weight**2).sum() + (moved_bias**2).sum())
    return loss + near * distance, np.concatenate([by_weight.ravel(), by_bias])


def _through_steps(by_quantile: NDArray[np.float64], raw: Floats) -> NDArray[np.float64]:
    """The slope by what the head gives, from that by its quantiles: head.quantiles_of backwards. A step above the
    median moves all quantiles from its own on up, one below it all from its own on down."""
    cells = raw.reshape(-1, HORIZONS, len(QUANTILES))
    above = by_quantile[..., MEDIAN + 1 :]
    below = by_quantile[..., :MEDIAN]
    outer_above = np.cumsum(above[..., ::-1], axis=-1)[..., ::-1]
    outer_below = -np.cumsum(below, axis=-1)
    steepness = 1 / (1 + np.exp(-np.clip(cells, -50, 50)))
    found = np.concatenate([outer_below, by_quantile.sum(axis=-1, keepdims=True), outer_above], axis=-1)
    found[..., :MEDIAN] *= steepness[..., :MEDIAN]
    found[..., MEDIAN + 1 :] *= steepness[..., MEDIAN + 1 :]
    flat: NDArray[np.float64] = found.reshape(len(raw), -1)
    return flat
