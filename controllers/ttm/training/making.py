"""From traces to a model with its card."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np
import torch

from controllers.ttm.card import Lineage, ModelCard, Quality
from controllers.ttm.corpus import Series
from controllers.ttm.schema import (
    ALIGNED,
    DAY_AGO,
    FEATURES,
    FORECAST,
    HEAD_BIAS,
    HEAD_WEIGHT,
    HISTORY,
    HORIZONS,
    NORMALISATION,
    OPSET,
    QUANTILES,
    RECENT,
    SCHEMA_VERSION,
    WEEK_AGO,
)
from controllers.ttm.training.export import ROWS, export
from controllers.ttm.training.fit import Figures, Told, fit, judge
from controllers.ttm.training.mixer import FEATURE_COUNT, Mixer
from controllers.ttm.training.recipe import Recipe, prepared
from controllers.ttm.training.sampling import Sampler, evenly
from controllers.ttm.training.synthetic import PATTERNS

JUDGED: Final = 300  # windows of each trace
PACKAGES: Final = ("torch", "numpy", "onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    graph: bytes
    card: ModelCard


def make(traces: Sequence[Series], recipe: Recipe, *, command: str, told: Told) -> Made:
    """One thread, since sums in another order are other sums. Raises TrainingDataUnusable."""
    torch.set_num_threads(1)
    corpus, learn, held = prepared(traces, recipe)
    mixer = fit(Sampler(corpus, learn, recipe.seed), steps=recipe.steps, seed=recipe.seed, told=told)
    graph = export(mixer)
    windows = evenly(corpus, held, JUDGED)
    quality = _quality(judge(mixer, windows), len(windows.target))
    return Made(graph=graph, card=_card(graph, mixer, quality, _lineage(traces, recipe, command)))


def _lineage(traces: Sequence[Series], recipe: Recipe, command: str) -> Lineage:
    return Lineage(
        command=command,
        seed=recipe.seed,
        steps=recipe.steps,
        traces={each.name: hashlib.sha256(each.load.astype(np.float64).tobytes()).hexdigest() for each in traces},
        synthetic=recipe.rounds * len(PATTERNS),
        packages={name: version(name) for name in PACKAGES},
    )


def _quality(found: Figures, windows: int) -> Quality:
    return Quality(
        windows=windows,
        pinball=round(found.pinball, 6),
        weighted_quantile_loss=round(found.weighted, 6),
        coverage_90=round(found.coverage, 4),
    )


def _card(graph: bytes, mixer: Mixer, quality: Quality, lineage: Lineage) -> ModelCard:
    heads = HORIZONS * len(QUANTILES)
    return ModelCard(
        schema_version=SCHEMA_VERSION,
        sha256=hashlib.sha256(graph).hexdigest(),
        opset=OPSET,
        inputs={
            RECENT: [ROWS, str(HISTORY)],
            DAY_AGO: [ROWS, str(ALIGNED)],
            WEEK_AGO: [ROWS, str(ALIGNED)],
            HEAD_WEIGHT: [str(heads), str(FEATURE_COUNT)],
            HEAD_BIAS: [str(heads)],
        },
        outputs={
            FORECAST: [ROWS, str(HORIZONS), str(len(QUANTILES))],
            FEATURES: [ROWS, str(FEATURE_COUNT)],
            NORMALISATION: [ROWS, "4"],
        },
        history_minutes=HISTORY,
        horizons_minutes=HORIZONS,
        quantiles=QUANTILES,
        parameters=sum(each.numel() for each in mixer.parameters()),
        lineage=lineage,
        quality=quality,
    )
