"""From what slices really did to a challenger and a verdict on it: what the trainer's process computes.

Time is cut in three, oldest first: to learn from, to choose the best step of the fit by, and held back for the
contest. Half of what is learnt from is the newest, half is replayed from all that came before. Pure: the same loads and
seed give the same head and the same verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.challenger import FitPolicy, Fitted, Samples, fit
from controllers.ttm.contest import ContestPolicy, Losses, Verdict, judge, pinball
from controllers.ttm.corpus import Corpus, Indices, Series, Windows
from controllers.ttm.errors import TrainingDataTooShort, TtmFault
from controllers.ttm.forecaster import Answer, OnnxForecaster
from controllers.ttm.head import Head
from controllers.ttm.head_file import pack_head, unpack_head
from controllers.ttm.history import Histories
from controllers.ttm.schema import HISTORY, HORIZONS, QUANTILES
from controllers.ttm.training_job import TrainingJob, TrainingResult

DAY_MINUTES: Final = 1_440
MINUTES_MIN: Final = 2 * DAY_MINUTES  # half a day is then held back, and a night is learnt from beside a day
HELD_BACK: Final = 0.25
CHECKED: Final = 0.1  # of what comes before
NEWEST_MINUTES: Final = 2 * DAY_MINUTES
RECENT_SHARE: Final = 1 / 3  # of what is held back
SAMPLES_MAX: Final = 20_000  # windows of each part; with 120 features 10 MB
BATCH: Final = 1_024
_LEVELS: Final = np.array(QUANTILES)
_LOAD_LEAST: Final = 1.0

Self = TypeVar("Self", bound="FittedModel")


class FittedModel(Protocol):
    """What an OnnxForecaster is here."""

    def run(self, histories: Histories) -> Answer: ...

    def with_head(self: Self, head: Head) -> Self: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    fitted: Fitted
    verdict: Verdict
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Minutes of the load: windows whose newest is in `learn` ([first, last]) and so on; a window's ten minutes ahead
    never reach into the next part."""

    learn: tuple[int, int]
    check: tuple[int, int]
    held_back: tuple[int, int]


def cut_of(minutes: int) -> Cut:
    """Raises TrainingDataTooShort."""
    if minutes < MINUTES_MIN:
        raise TrainingDataTooShort(minutes, MINUTES_MIN)
    held = int(minutes * (1 - HELD_BACK))
    check = int(held * (1 - CHECKED))
    return Cut(
        learn=(HISTORY, check - HORIZONS - 1),
        check=(check, held - HORIZONS - 1),
        held_back=(held, minutes - HORIZONS - 1),
    )


def retrain(
    model: FittedModel,
    champion: Head,
    loads: Sequence[tuple[str, NDArray[np.float64]]],
    *,
    fit_policy: FitPolicy | None = None,
    contest: ContestPolicy | None = None,
) -> Retrained:
    """model: with the champion's head. loads: by slice, requests a minute, equally long and to the same minute, NaN
    where nobody measured. Raises TrainingDataTooShort, TtmFault."""
    policy = fit_policy or FitPolicy()
    cut = cut_of(max((len(load) for _, load in loads), default=0))
    corpus = Corpus([Series(name=name, load=load, season=DAY_MINUTES) for name, load in loads])
    chance = np.random.default_rng(policy.seed)
    learn = _samples(model, _known(_drawn(corpus, cut.learn, chance)))
    check = _samples(model, _known(_spread(corpus, cut.check)))
    fitted = fit(policy, champion, learn, check)
    challenger = model.with_head(fitted.head)
    longer = _losses(corpus, model, challenger, cut.held_back)
    older = _losses(corpus, model, challenger, cut.learn)
    recent = int(len(longer.champion) * (1 - RECENT_SHARE))
    verdict = judge(
        contest or ContestPolicy(),
        recent=Losses(champion=longer.champion[recent:], challenger=longer.challenger[recent:]),
        longer=longer,
        older=older,
    )
    return Retrained(fitted=fitted, verdict=verdict, samples=len(learn))


def carry_out(job: TrainingJob, base: OnnxForecaster, own: Head) -> TrainingResult:
    """What the trainer's process answers, also when it refuses. base: the job's graph; own: its head."""
    try:
        loads = np.frombuffer(job.loads, dtype="<f4").astype(np.float64).reshape(len(job.slices), job.minutes)
        champion = unpack_head(job.head, base.card.sha256) if job.head else own
        done = retrain(
            base.with_head(champion),
            champion,
            list(zip(job.slices, loads, strict=True)),
            fit_policy=FitPolicy(seed=job.seed),
        )
    except TtmFault as fault:
        return TrainingResult(refused=fault.code, reason=str(fault))
    verdict = done.verdict
    return TrainingResult(
        head=pack_head(done.fitted.head, base.card.sha256),
        base=base.card.sha256,
        ruling=verdict.ruling,
        recent=verdict.recent,
        longer=verdict.longer,
        older=verdict.older,
        samples=done.samples,
    )


def _drawn(corpus: Corpus, span: tuple[int, int], chance: np.random.Generator) -> Windows:
    """Half of the newest days, half of all."""
    first, last = span
    newest = max(first, last - NEWEST_MINUTES)
    count = min(SAMPLES_MAX, (last - first + 1) * len(corpus.series)) // 2
    minutes = np.concatenate([chance.integers(newest, last + 1, count), chance.integers(first, last + 1, count)])
    return corpus.windows(chance.integers(0, len(corpus.series), 2 * count), minutes)


def _spread(corpus: Corpus, span: tuple[int, int]) -> Windows:
    which, minutes = _evenly(len(corpus.series), span)
    return corpus.windows(which, minutes)


def _evenly(series: int, span: tuple[int, int]) -> tuple[Indices, Indices]:
    """Every minute of the span in the order of time, each with as many slices, in turn, as the limit allows; where
    it allows not even one each, minutes evenly over the span."""
    first, last = span
    minutes = np.arange(first, last + 1)
    if len(minutes) > SAMPLES_MAX:
        minutes = np.unique(np.linspace(first, last, SAMPLES_MAX).astype(np.int64))
    each = min(series, max(1, SAMPLES_MAX // len(minutes)))
    turns = (np.arange(len(minutes))[:, None] * each + np.arange(each)) % series
    return turns.ravel(), np.repeat(minutes, each)


def _known(windows: Windows) -> Windows:
    """Those of which a forecast would have been made, and of which something came."""
    histories = _histories(windows)
    rows = histories.foreseeable() & np.isfinite(windows.target).any(axis=1)
    return Windows(
        recent=windows.recent[rows],
        day_ago=windows.day_ago[rows],
        week_ago=windows.week_ago[rows],
        target=windows.target[rows],
    )


def _histories(windows: Windows) -> Histories:
    names = tuple(map(str, range(len(windows.recent))))
    return Histories(slices=names, recent=windows.recent, day_ago=windows.day_ago, week_ago=windows.week_ago)


def _answers(model: FittedModel, windows: Windows) -> list[Answer]:
    return [
        model.run(
            _histories(
                Windows(
                    recent=windows.recent[at : at + BATCH],
                    day_ago=windows.day_ago[at : at + BATCH],
                    week_ago=windows.week_ago[at : at + BATCH],
                    target=windows.target[at : at + BATCH],
                )
            )
        )
        for at in range(0, len(windows.recent), BATCH)
    ]


def _samples(model: FittedModel, windows: Windows) -> Samples:
    if not len(windows.recent):
        raise TrainingDataTooShort(0, MINUTES_MIN)
    answers = _answers(model, windows)
    return Samples(
        features=np.concatenate([each.features for each in answers]),
        normalisation=np.concatenate([each.normalisation for each in answers]),
        target=windows.target,
    )


def _losses(corpus: Corpus, champion: FittedModel, challenger: FittedModel, span: tuple[int, int]) -> Losses:
    """Of both, minute by minute over all its slices, as parts of the slices' mean loads."""
    which, minutes = _evenly(len(corpus.series), span)
    windows = corpus.windows(which, minutes)
    known = _histories(windows).foreseeable()
    kept = Windows(
        recent=windows.recent[known],
        day_ago=windows.day_ago[known],
        week_ago=windows.week_ago[known],
        target=windows.target[known],
    )
    scale = np.maximum(np.nanmean(kept.recent, axis=1), _LOAD_LEAST)
    target = kept.target.astype(np.float64)
    by_minute = np.unique(minutes, return_inverse=True)[1][known]
    count = int(by_minute.max(initial=-1)) + 1
    found = []
    for model in (champion, challenger):
        losses = [
            pinball(each.quantiles.astype(np.float64), _LEVELS, target[at * BATCH : at * BATCH + BATCH])
            for at, each in enumerate(_answers(model, kept))
        ]
        found.append(_means(np.concatenate([*losses, np.zeros(0)]) / scale, by_minute, count))
    return Losses(champion=found[0], challenger=found[1])


def _means(losses: NDArray[np.float64], places: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """By place; NaN where there is none."""
    known = np.isfinite(losses)
    sums = np.bincount(places[known], losses[known], minlength=count)
    numbers = np.bincount(places[known], minlength=count)
    means: NDArray[np.float64] = np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)
    return means
