"""What scaling knows of a slice that people want alerts for: how near its load comes to what it carries, and how fast
its error budget is used up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from controllers.context.snapshot import SliceContext
from controllers.scaling.burning import WINDOWS
from controllers.scaling.judging import carried_by_one
from controllers.scaling.model import Forecast, at_quantile
from controllers.scaling.standing import Standing
from runtime.telemetry.alerts.figures import name_of
from runtime.telemetry.windows import COARSE_S, FINE_S, Window, lately, names_of

FORECAST: Final = "forecast_p95_vs_capacity"
FINE: Final = {"slo_burn_5m": 300 // FINE_S}
COARSE: Final = {
    "slo_burn_30m": 1_800 // COARSE_S,
    "slo_burn_1h": 3_600 // COARSE_S,
    "slo_burn_2h": 7_200 // COARSE_S,
}
SLOWNESS: Final = "p95_vs_slo"
SLOWNESS_S: Final = 10
HELD: Final = "scaling_held"
PUBLISHED: Final = frozenset({FORECAST, HELD, SLOWNESS, *FINE, *COARSE, *WINDOWS})


class Known(Protocol):
    """What the loop has of each slice, on the leader as of its last tick."""

    def standings(self) -> Mapping[str, Standing]: ...

    def load(self, slice_name: str) -> SliceContext | None: ...

    def forecast(self, slice_name: str) -> Forecast | None: ...


class ErrorsOfDays(Protocol):
    """On the leader, from the history of minutes."""

    def errors_share(self, slice_name: str, metric: str) -> float | None: ...


class ScalingFigures:
    """A FigureSource of PUBLISHED. burns: none on a node that keeps no history."""

    def __init__(
        self, *, known: Known, window: Callable[[str], Window | None], burns: ErrorsOfDays | None = None
    ) -> None:
        self._known = known
        self._window = window
        self._burns = burns

    def figure(self, subject: str, metric: str) -> float | None:
        slice_name = name_of(subject)
        at = self._known.standings().get(slice_name)
        if at is None:
            return None
        if metric == HELD:
            return held(at, self._known.load(slice_name))
        if metric == FORECAST:
            return forecast_vs_capacity(at, self._known.load(slice_name), self._known.forecast(slice_name))
        if metric in WINDOWS:
            share = self._burns.errors_share(slice_name, metric) if self._burns is not None else None
            return rate_of(share, at.config.slo_availability)
        window = self._window(slice_name)
        if window is None:
            return None
        if metric == SLOWNESS:
            return slowness(window, at.config.slo_p95_ms)
        return burn_rate(window, metric, at.config.slo_availability)


def held(at: Standing, load: SliceContext | None) -> float | None:
    """1 while nothing may be decided for want of figures. None where nothing would be."""
    if at.paused or load is None:
        return None
    return 1.0 if load.missing else 0.0


def forecast_vs_capacity(at: Standing, load: SliceContext | None, forecast: Forecast | None) -> float | None:
    """The 95th percentile of the highest rate of the next two minutes, over what the instances that are wanted carry
    when they are always busy: above 1 is more than they can. None without a forecast, or before anything was learnt."""
    carried = carried_by_one(at, load) * max(1, at.wanted)
    return at_quantile(forecast.soon, 0.95) / carried if forecast is not None and carried > 0 else None


def burn_rate(window: Window, metric: str, availability: float) -> float | None:
    """How many times as fast as the objective allows calls failed, over the time that the metric's name tells: at 1 the
    budget lasts for just the period that it is for (Google, The Site Reliability Workbook, 2018, chapter 5). None
    without calls."""
    names = names_of("errors_share")
    steps = window.fine(FINE[metric], names) if metric in FINE else window.coarse(COARSE[metric], names)
    return rate_of(lately(steps, "errors_share"), availability)


def rate_of(errors_share: float | None, availability: float) -> float | None:
    return errors_share / (1.0 - availability) if errors_share is not None else None


def slowness(window: Window, slo_p95_ms: float) -> float | None:
    """The 95th percentile of the last seconds over its objective: above 1 is slower than it shall be. None without
    calls."""
    p95_ms = lately(window.fine(SLOWNESS_S, ("p95_ms",)), "p95_ms")
    return p95_ms / slo_p95_ms if p95_ms is not None else None
