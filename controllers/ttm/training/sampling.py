"""Windows to learn from: drawn from all series, and spoilt now and then as life spoils them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from controllers.ttm.corpus import Corpus, Indices, Windows
from controllers.ttm.history import Floats
from controllers.ttm.schema import HISTORY, HORIZONS, KNOWN_MIN

YOUNG_SHARE: Final = 0.25  # of windows: of a slice that is younger than a week, half of them younger than a day
GAPS_SHARE: Final = 0.1  # of windows: with minutes that nobody measured
GAPS_MAX: Final = 0.3  # of their minutes
BLEND_SHARE: Final = 0.25  # of windows: two services' load as one


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Of one series: the newest minutes that windows may have, `first` to `last`, and how often it is drawn beside
    others."""

    first: int
    last: int
    weight: float = 1.0


class Sampler:
    """The same seed gives the same windows."""

    def __init__(self, corpus: Corpus, spans: list[Span], seed: int) -> None:
        self._corpus = corpus
        self._first = np.array([span.first for span in spans])
        self._count = np.array([span.last + 1 - span.first for span in spans])
        weights = np.array([span.weight for span in spans])
        self._share = weights / weights.sum()
        self._mean = np.array([max(float(np.nanmean(each.load)), 1e-9) for each in corpus.series], dtype=np.float32)
        self._chance = np.random.default_rng([seed, 2])

    def draw(self, count: int) -> Windows:
        """Scaled so that a series' mean is 1; the model's answer does not depend on the scale."""
        one = self._cut(count)
        blended = self._chance.random(count) < BLEND_SHARE
        share = np.where(blended, self._chance.random(count), 1.0).astype(np.float32)[:, None]
        other = self._cut(count)
        mixed = Windows(
            recent=_blend(share, one.recent, other.recent),
            day_ago=_blend(share, one.day_ago, other.day_ago),
            week_ago=_blend(share, one.week_ago, other.week_ago),
            target=_blend(share, one.target, other.target),
        )
        return self._spoilt(mixed)

    def _cut(self, count: int) -> Windows:
        which: Indices = self._chance.choice(len(self._share), count, p=self._share)
        newest = self._first[which] + (self._chance.random(count) * self._count[which]).astype(np.int64)
        found, scale = self._corpus.windows(which, newest), self._mean[which][:, None]
        return Windows(
            recent=found.recent / scale,
            day_ago=found.day_ago / scale,
            week_ago=found.week_ago / scale,
            target=found.target / scale,
        )

    def _spoilt(self, windows: Windows) -> Windows:
        count = len(windows.recent)
        dice = self._chance.random(count)
        windows.week_ago[dice < YOUNG_SHARE] = np.nan
        windows.day_ago[dice < YOUNG_SHARE / 2] = np.nan
        rate = np.where(self._chance.random(count) < GAPS_SHARE, self._chance.random(count) * GAPS_MAX, 0.0)
        for part in (windows.recent, windows.day_ago, windows.week_ago):
            part[self._chance.random(part.shape) < rate[:, None]] = np.nan
        windows.target[np.isfinite(windows.recent).sum(axis=1) < KNOWN_MIN] = np.nan  # nobody will ask for these
        return windows


def _blend(share: Floats, one: Floats, other: Floats) -> Floats:
    """Rows whose share is 1 are `one` alone, whatever is unknown of the other."""
    found: Floats = np.where(share == 1.0, one, share * one + (1 - share) * other)
    return found


def evenly(corpus: Corpus, spans: list[Span], count: int) -> Windows:
    """`count` windows of each series, evenly over its span: what is held back to judge with."""
    which, newest = [], []
    for at, span in enumerate(spans):
        if span.last < span.first:
            continue
        found = np.unique(np.linspace(span.first, span.last, count).astype(np.int64))
        newest.append(found)
        which.append(np.full(len(found), at))
    return corpus.windows(np.concatenate(which), np.concatenate(newest))


def spans_of(corpus: Corpus, held_back: float) -> tuple[list[Span], list[Span]]:
    """To learn from, and to judge with: the last part of each series, whose windows' targets the others do not see."""
    learn, judge = [], []
    for each in corpus.series:
        end = len(each.load) - HORIZONS - 1
        cut = int(len(each.load) * (1 - held_back)) - HORIZONS - 1
        learn.append(Span(first=HISTORY // 2, last=cut))
        judge.append(Span(first=cut + HORIZONS + 1, last=end))
    return learn, judge
