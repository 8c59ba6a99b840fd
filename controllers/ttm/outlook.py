"""Forecasts and history as the loop of scaling asks for them: rates a second, of the next minutes' highest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.scaling.model import Forecast
from controllers.ttm.live import Forecasts
from controllers.ttm.load_forecast import LoadForecast
from controllers.ttm.schema import QUANTILES
from controllers.ttm.trail import MINUTE_S

SOON: Final = 2  # minutes: an instance that is ordered now serves within one
LATER: Final = 5  # minutes: who would be wanted again in these had better stay


class LiveOutlook:
    """Implements scaling's Outlook."""

    def __init__(self, forecasts: Forecasts, day_ago: Callable[[str], float | None]) -> None:
        self._forecasts = forecasts
        self._day_ago = day_ago

    def forecast(self, slice_name: str) -> Forecast | None:
        found = self._forecasts.latest(slice_name)
        return forecast_of(found) if found is not None else None

    def day_ago_ratio(self, slice_name: str) -> float | None:
        return self._day_ago(slice_name)


def forecast_of(load: LoadForecast) -> Forecast:
    return Forecast(soon=_highest(load, SOON), later=_highest(load, LATER))


def _highest(load: LoadForecast, minutes: int) -> tuple[float, ...]:
    """Of the next `minutes`, requests a second at each quantile; it rises with the quantile as each minute does."""
    return tuple(max(load.at(ahead, level) for ahead in range(1, minutes + 1)) / MINUTE_S for level in QUANTILES)
