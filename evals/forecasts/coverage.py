"""How much of the load the calibrated 90 % interval covers, trace by trace, as it would have been live."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from controllers.ttm.calibration import HIGH, LOW, Calibration, CalibrationPolicy, outcome_of
from controllers.ttm.corpus import Corpus, Series
from controllers.ttm.cycle import Model
from controllers.ttm.due import DueForecasts, Floats
from controllers.ttm.history import Histories
from controllers.ttm.schema import HISTORY, HORIZONS, QUANTILES

HALF_DAY: Final = 720  # minutes, 12 hours; a row of a trace is a minute
MINUTES_MAX: Final = 14 * 1_440  # the newest of each trace
SHARE_MIN, SHARE_MAX, WORST_MIN = 0.88, 0.92, 0.80
BATCH: Final = 1_024
_BAND: Final = [QUANTILES.index(LOW), QUANTILES.index(HIGH)]


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one trace; by horizon, 1 to 10 minutes ahead."""

    trace: str
    minutes: int
    raw: tuple[float, ...]
    """The part inside the model's own interval."""
    calibrated: tuple[float, ...]
    worst: tuple[float, ...]
    """The least part inside the calibrated one over any 12 hours."""
    width: tuple[float, ...]
    """Mean width of the calibrated interval, as a part of the raw one's."""

    @property
    def within(self) -> bool:
        """Whether 88 to 92 % are covered at every horizon, and never less than 80 % over 12 hours."""
        return SHARE_MIN <= min(self.calibrated) <= max(self.calibrated) <= SHARE_MAX and min(self.worst) >= WORST_MIN


def coverage(trace: Series, model: Model, policy: CalibrationPolicy | None = None) -> Coverage:
    """From the trace's second hour on, at most its newest two weeks, beginning with nothing learnt."""
    corpus = Corpus([trace])
    first = max(HISTORY, len(trace.load) - HORIZONS - 1 - MINUTES_MAX)
    minutes = np.arange(first, len(trace.load) - HORIZONS)
    quantiles = _said(corpus, model, minutes)
    calibration, own = Calibration(horizons=HORIZONS, policy=policy), DueForecasts(horizons=HORIZONS, width=2)
    calibration.keep([trace.name])
    own.keep([trace.name])
    hits, raw_hits = (np.full((len(minutes), HORIZONS), np.nan) for _ in range(2))
    widths = np.zeros((2, HORIZONS))
    for at, minute in enumerate(minutes.tolist()):
        load = trace.load[minute : minute + 1]
        for outcome, into in ((calibration.observe(minute, load), hits), (outcome_of(own.due(minute), load), raw_hits)):
            into[at] = np.where(outcome.known[0], outcome.covered[0], np.nan)
        said = quantiles[at : at + 1]
        own.add(minute, said[..., _BAND])
        issued = calibration.issue(minute, said, QUANTILES)[..., _BAND]
        widths += np.stack([np.diff(each, axis=-1)[0, :, 0] for each in (issued, said[..., _BAND])])
    return Coverage(
        trace=trace.name,
        minutes=len(minutes),
        raw=_rounded(np.nanmean(raw_hits, axis=0)),
        calibrated=_rounded(np.nanmean(hits, axis=0)),
        worst=_rounded(np.array([worst(hits[:, at]) for at in range(HORIZONS)])),
        width=_rounded(widths[0] / np.maximum(widths[1], 1e-12)),
    )


def worst(hits: Floats, window: int = HALF_DAY) -> float:
    """The least mean over any `window` neighbours; over all where there are fewer. hits: 1 or 0, NaN is not known."""
    known = hits[np.isfinite(hits)]
    if len(known) <= window:
        return float(known.mean()) if len(known) else float("nan")
    sums = np.cumsum(np.concatenate([[0.0], known]))
    return float((sums[window:] - sums[:-window]).min() / window)


def _said(corpus: Corpus, model: Model, minutes: NDArray[np.int64]) -> Floats:
    parts = []
    for at in range(0, len(minutes), BATCH):
        windows = corpus.windows(np.zeros(len(minutes[at : at + BATCH]), dtype=np.int64), minutes[at : at + BATCH])
        names = tuple(map(str, range(len(windows.recent))))
        histories = Histories(slices=names, recent=windows.recent, day_ago=windows.day_ago, week_ago=windows.week_ago)
        parts.append(model.quantiles(histories))
    return np.concatenate(parts)


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(np.round(values, 4).tolist())
