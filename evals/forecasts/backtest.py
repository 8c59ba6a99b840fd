"""A backtest: at many moments of a trace, what each method said of the next ten minutes, and what came."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

import msgspec
import numpy as np

from controllers.ttm.corpus import Corpus, Indices, Series
from controllers.ttm.schema import HISTORY, HORIZONS, KNOWN_MIN
from evals.forecasts.contestants import STATISTICAL, Method
from evals.forecasts.metrics import Floats, coverage, mase, weighted_quantile_loss
from evals.scaling.errors import TracesUnusable

OURS: Final = "ttm"
MOMENTS: Final = 60  # of each trace


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Of one method on one trace. ms_per_series includes fitting, where the method fits."""

    trace: str
    method: str
    mase: float
    weighted_quantile_loss: float
    coverage_90: float
    ms_per_series: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """loss_vs_best: our weighted quantile loss over that of the best of AutoARIMA, Theta and ETS on each trace, and
    the mean of these ratios; empty and None where those did not run."""

    loss_vs_best: dict[str, float]
    mean: float | None


def backtest(
    traces: Sequence[Series],
    methods: dict[str, Method],
    *,
    moments: int = MOMENTS,
    last_share: float = 1.0,
    told: Callable[[Row], None] = lambda _row: None,
) -> list[Row]:
    """The first day of a trace is only looked at. last_share: of each trace, at the end, that moments come from. Raises
    TracesUnusable."""
    rows = []
    for series in traces:
        newest = moments_of(series, moments, last_share)
        actual = Corpus([series]).windows(np.zeros_like(newest), newest).target.astype(np.float64)
        for name, method in methods.items():
            row = _judged(series, newest, actual, name, method)
            told(row)
            rows.append(row)
    return rows


def moments_of(series: Series, count: int, last_share: float = 1.0) -> Indices:
    """The newest minute seen at each of them, evenly over all but the first day, where that hour and what came are
    known; of a series with a gap in every hour, where what came is known and enough of the hour. Raises
    TracesUnusable."""
    first = max(series.season, int(len(series.load) * (1 - last_share)))
    newest = np.arange(first, len(series.load) - HORIZONS)
    unknown = np.cumsum(np.isnan(np.concatenate([[0.0], series.load])))
    ahead = unknown[newest + HORIZONS + 1] - unknown[newest + 1]
    before = unknown[newest + 1] - unknown[newest + 1 - HISTORY]
    whole = newest[(ahead == 0) & (before == 0)]
    enough = newest[(ahead == 0) & (before <= HISTORY - KNOWN_MIN) & np.isfinite(series.load[newest])]
    found: Indices = whole if len(whole) else enough
    if not len(found):
        raise TracesUnusable(f"{series.name} has no ten minutes after its first day of which all is known")
    return found[np.unique(np.linspace(0, len(found) - 1, count).astype(np.int64))]


def _judged(series: Series, newest: Indices, actual: Floats, name: str, method: Method) -> Row:
    begun = time.perf_counter()
    quantiles = method(series, newest)
    took_ms = (time.perf_counter() - begun) * 1000 / len(newest)
    return Row(
        trace=series.name,
        method=name,
        mase=mase(quantiles, actual, float(np.nanmean(np.abs(np.diff(series.load))))),
        weighted_quantile_loss=weighted_quantile_loss(quantiles, actual),
        coverage_90=coverage(quantiles, actual),
        ms_per_series=took_ms,
    )


def summary(rows: Sequence[Row]) -> Summary:
    ours = {row.trace: row.weighted_quantile_loss for row in rows if row.method == OURS}
    theirs: dict[str, list[float]] = {}
    for row in rows:
        if row.method in STATISTICAL:
            theirs.setdefault(row.trace, []).append(row.weighted_quantile_loss)
    ratios = {name: loss / min(theirs[name]) for name, loss in ours.items() if name in theirs}
    return Summary(loss_vs_best=ratios, mean=fmean(ratios.values()) if ratios else None)
