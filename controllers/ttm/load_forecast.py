"""A forecast as control holds it: plain floats, since the leader's control has no NumPy."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from controllers.ttm.errors import HistoryInvalid
from controllers.ttm.schema import HORIZONS, QUANTILES


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadForecast:
    """quantiles: requests a minute of each of the next ten minutes at schema.QUANTILES, from low to high, minute by
    minute; 32-bit floats."""

    slice: str
    quantiles: array[float]

    def at(self, minutes_ahead: int, quantile: float) -> float:
        """minutes_ahead: 1 to 10; quantile: one of schema.QUANTILES."""
        if not 1 <= minutes_ahead <= HORIZONS:
            raise HistoryInvalid(f"{minutes_ahead} minutes ahead; forecasts reach from 1 to {HORIZONS}")
        return self.quantiles[(minutes_ahead - 1) * len(QUANTILES) + QUANTILES.index(quantile)]


def load_forecast(slice_name: str, raw: bytes) -> LoadForecast:
    """raw: the quantiles as this machine's 32-bit floats. Raises HistoryInvalid."""
    quantiles = array("f", raw) if len(raw) % 4 == 0 else array("f")
    if len(quantiles) != HORIZONS * len(QUANTILES):
        raise HistoryInvalid(f"{len(raw)} bytes are no forecast")
    return LoadForecast(slice=slice_name, quantiles=quantiles)
