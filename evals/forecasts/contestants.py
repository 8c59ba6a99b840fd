"""Those who forecast: our model, two naive ones, and three of statsforecast where that is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, cast

import numpy as np

from controllers.ttm.corpus import Corpus, Indices, Series
from controllers.ttm.forecaster import OnnxForecaster
from controllers.ttm.history import Histories
from controllers.ttm.schema import HORIZONS, MEDIAN, QUANTILES
from evals.forecasts.errors import MethodUnknown
from evals.forecasts.metrics import Floats

CONTEXT: Final = 240  # minutes that the statistical methods are fitted on: four times what our model sees as they are
RESIDUALS: Final = 240  # of the naive methods' errors, from which their quantiles come
STATISTICAL: Final = ("ets", "theta", "arima")
LEVELS: Final = [50, 80, 90, 98]  # percent, of intervals whose ends are our quantiles
COLUMNS: Final = ("lo-90", "lo-80", "lo-50", "mean", "hi-50", "hi-80", "hi-90", "hi-98")

Method = Callable[[Series, Indices], Floats]
"""Of a series, the newest minute seen of each window [n]: quantiles [n, 10, 8]. None looks beyond its minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestants:
    methods: Mapping[str, Method]
    missing: tuple[str, ...]
    """Those that need statsforecast, which is not installed."""


def contestants(model: OnnxForecaster, names: str = "") -> Contestants:
    """All, or those named with commas between. Raises MethodUnknown."""
    known: dict[str, Method] = {"ttm": ours(model), "naive": naive, "seasonal-naive": seasonal_naive}
    there = find_spec("statsforecast") is not None
    known |= {name: statistical(name) for name in STATISTICAL} if there else {}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise MethodUnknown(unknown[0], tuple(known))
    return Contestants(methods={name: known[name] for name in wanted or known}, missing=() if there else STATISTICAL)


def ours(model: OnnxForecaster) -> Method:
    def method(series: Series, newest: Indices) -> Floats:
        windows = Corpus([series]).windows(np.zeros_like(newest), newest)
        asked = Histories(
            slices=tuple(map(str, newest.tolist())),
            recent=windows.recent,
            day_ago=windows.day_ago,
            week_ago=windows.week_ago,
        )
        return model.run(asked).quantiles.astype(np.float64)

    return method


def naive(series: Series, newest: Indices) -> Floats:
    """The newest load goes on; its quantiles are those of its own errors of late at each horizon."""
    return _of_errors(series, newest, lag=0)


def seasonal_naive(series: Series, newest: Indices) -> Floats:
    """What was a day ago."""
    return _of_errors(series, newest, lag=series.season)


def _of_errors(series: Series, newest: Indices, *, lag: int) -> Floats:
    load, found = filled(series.load), np.empty((len(newest), HORIZONS, len(QUANTILES)))
    for row, now in enumerate(newest.tolist()):
        for ahead in range(1, HORIZONS + 1):
            back = max(ahead, lag)
            past = np.arange(max(back, now - RESIDUALS), now + 1)
            errors = load[past] - load[past - back]
            found[row, ahead - 1] = load[now + ahead - back] + np.quantile(errors, QUANTILES)
            found[row, ahead - 1] += load[now + ahead - back] - found[row, ahead - 1, MEDIAN]
    return np.maximum(found, 0.0)


def filled(load: Floats) -> Floats:
    """Each minute that nobody measured as the one before it: these methods take no gaps."""
    known = np.isfinite(load)
    at = np.maximum.accumulate(np.where(known, np.arange(len(load)), int(np.argmax(known))))
    return load[at]


def statistical(name: str) -> Method:
    """statsforecast's automatic model on the last CONTEXT minutes; quantiles from its normal intervals."""

    def method(series: Series, newest: Indices) -> Floats:
        from statsforecast import models

        kind = {"ets": models.AutoETS, "theta": models.DynamicOptimizedTheta, "arima": models.AutoARIMA}[name]
        load, found = filled(series.load), np.empty((len(newest), HORIZONS, len(QUANTILES)))
        for row, now in enumerate(newest.tolist()):
            recent = load[max(0, now + 1 - CONTEXT) : now + 1]
            answer = kind(season_length=1).forecast(y=recent, h=HORIZONS, level=LEVELS)
            found[row] = np.stack([answer[key] for key in COLUMNS], axis=-1)
            found[row][~np.isfinite(found[row])] = recent[-1]  # a load that never changes has no errors to go by
        return cast(Floats, np.maximum(found, 0.0))

    return method
