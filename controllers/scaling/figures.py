"""What scaling knows of a slice that people want alerts for: how near its load comes to what it carries, and how fast
its error budget is used up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from controllers.context.snapshot import SliceContext
from controllers.scaling.judging import carried_by_one
from controllers.scaling.model import Forecast, at_quantile
from controllers.scaling.standing import Standing
from runtime.telemetry.windows import COARSE_S, FINE_S, Window, lately

FORECAST: Final = "forecast_p95_vs_capacity"
FINE: Final = {"slo_burn_5m": 300 // FINE_S}
COARSE: Final = {"slo_burn_30m": 1_800 // COARSE_S, "slo_burn_1h": 3_600 // COARSE_S}
PUBLISHED: Final = frozenset({FORECAST, *FINE, *COARSE})


class Known(Protocol):
    """What the loop has of each slice, on the leader as of its last tick."""

    def standings(self) -> Mapping[str, Standing]: ...

    def load(self, slice_name: str) -> SliceContext | None: ...

    def forecast(self, slice_name: str) -> Forecast | None: ...


class ScalingFigures:
    """A FigureSource of PUBLISHED."""

    def __init__(self, *, known: Known, window: Callable[[str], Window | None]) -> None:
        self._known = known
        self._window = window

    def figure(self, slice_name: str, metric: str) -> float | None:
        at = self._known.standings().get(slice_name)
        if at is None:
            return None
        if metric == FORECAST:
            return forecast_vs_capacity(at, self._known.load(slice_name), self._known.forecast(slice_name))
        window = self._window(slice_name)
        return burn_rate(window, metric, at.config.slo_availability) if window is not None else None


def forecast_vs_capacity(at: Standing, load: SliceContext | None, forecast: Forecast | None) -> float | None:
    """The 95th percentile of the highest rate of the next two minutes, over what the instances that are wanted carry
    when they are always busy: above 1 is more than they can. None without a forecast, or before anything was learnt."""
    carried = carried_by_one(at, load) * max(1, at.wanted)
    return at_quantile(forecast.soon, 0.95) / carried if forecast is not None and carried > 0 else None


def burn_rate(window: Window, metric: str, availability: float) -> float | None:
    """How many times as fast as the objective allows calls failed, over the time that the metric's name tells: at 1 the
    budget lasts for just the period that it is for (Google, The Site Reliability Workbook, 2018, chapter 5). None
    without calls."""
    steps = window.fine(FINE[metric]) if metric in FINE else window.coarse(COARSE[metric])
    share = lately(steps, "errors_share")
    return share / (1.0 - availability) if share is not None else None
