"""What a model is made of: traces and synthetic loads, what of them is learnt, and for how long. Without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controllers.ttm.corpus import DAYS_MIN, HELD_BACK, Corpus, Series
from controllers.ttm.errors import TrainingDataUnusable
from controllers.ttm.training.sampling import Span, spans_of
from controllers.ttm.training.synthetic import synthetic

SYNTHETIC_SHARE: Final = 0.3  # of the windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What makes a model, beside the traces. rounds: synthetic series of each pattern."""

    steps: int
    seed: int = 1
    rounds: int = 4


FULL: Final = Recipe(steps=4_000)
QUICK: Final = Recipe(steps=60, rounds=1)


def prepared(traces: Sequence[Series], recipe: Recipe) -> tuple[Corpus, list[Span], list[Span]]:
    """All series, what to learn from, and what to judge with: the traces' last parts. Raises TrainingDataUnusable."""
    if not traces:
        raise TrainingDataUnusable("there is nothing to learn from")
    for each in traces:
        if each.days < DAYS_MIN:
            raise TrainingDataUnusable(f"{each.name} has {each.days:.1f} days; {DAYS_MIN} is the least")
    made = synthetic(recipe.seed, recipe.rounds)
    corpus = Corpus([*traces, *made])
    learn, held = spans_of(corpus, HELD_BACK)
    count = len(traces)
    weights = [(1 - SYNTHETIC_SHARE) / count] * count + [SYNTHETIC_SHARE / len(made)] * len(made)
    spans = [Span(first=each.first, last=each.last, weight=weight) for each, weight in zip(learn, weights, strict=True)]
    return corpus, spans, held[:count]
