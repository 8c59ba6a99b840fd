"""Layer 2 in the simulator: the cycle of production, minute by minute, from nothing but minutes that are over."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import numpy as np

from controllers.scaling.model import Forecast
from controllers.ttm.cycle import Cycle, Model
from controllers.ttm.engine import AskedModel
from controllers.ttm.errors import TtmFault
from controllers.ttm.forecaster import load_forecaster
from controllers.ttm.history import Histories
from controllers.ttm.live import GRACE_S, STALE_S
from controllers.ttm.outlook import forecast_of
from controllers.ttm.schema import ALIGNED, HISTORY, WEEK_DAYS
from evals.scaling.arrivals import MINUTE_S
from evals.scaling.traces import Floats

KNOWN_AFTER_S: Final = int(GRACE_S)  # the end of a minute
SLICE: Final = "simulated"
LOW, HIGH = 0.05, 0.95


class Foreseen:
    """Implements scaling's Outlook for one slice of one run; it begins with nothing learnt."""

    def __init__(self, model: Model, *, season: int, band: Floats | None) -> None:
        """season: rows a day. band: [minutes, 2], where the calibrated 90 % band of each minute is noted, requests a
        second, as it was said just before."""
        self._cycle = Cycle(model)
        self._season = season
        self._band = band
        self._forecast: Forecast | None = None
        self._made_s = 0

    def second(self, after_s: int, minutes: Floats) -> None:
        """So many seconds are over. minutes: requests a second in each minute, NaN from the present one on."""
        if after_s % MINUTE_S == KNOWN_AFTER_S and after_s > MINUTE_S:
            self._minute(after_s // MINUTE_S - 1, minutes)
            self._made_s = after_s
        elif after_s - self._made_s > STALE_S:
            self._forecast = None

    def _minute(self, minute: int, minutes: Floats) -> None:
        """A model that fails costs its minute's forecast, as it does live."""
        self._forecast = None
        try:
            said = self._cycle.minute(minute, self._histories(minute, minutes)).forecasts.get(SLICE)
        except TtmFault:
            return
        if said is None:
            return
        self._forecast = forecast_of(said)
        if self._band is not None and minute + 1 < len(self._band):
            self._band[minute + 1] = [said.at(1, level) / MINUTE_S for level in (LOW, HIGH)]

    def _histories(self, minute: int, minutes: Floats) -> Histories:
        """The spans that live.spans_of asks for, where a day has `season` minutes."""
        first = minute - HISTORY + 1
        return Histories(
            slices=(SLICE,),
            recent=_span(minutes, first, HISTORY),
            day_ago=_span(minutes, first - self._season, ALIGNED),
            week_ago=_span(minutes, first - WEEK_DAYS * self._season, ALIGNED),
        )

    def forecast(self, slice_name: str) -> Forecast | None:
        del slice_name
        return self._forecast


class Unforeseen:
    """Implements scaling's Outlook where layer 1 decides alone."""

    def second(self, after_s: int, minutes: Floats) -> None:
        """Nothing comes of it."""

    def forecast(self, slice_name: str) -> Forecast | None:
        del slice_name
        return None


def _span(minutes: Floats, first: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[1, count], requests a minute; NaN where there is none yet, or was none."""
    found = np.full((1, count), np.nan, dtype=np.float32)
    begin, end = max(0, first), max(0, first + count)
    known = minutes[begin:end] * MINUTE_S
    found[0, begin - first : begin - first + len(known)] = known
    return found


@functools.lru_cache(maxsize=8)
def model_at(directory: Path) -> Model:
    """Read once in each process. Raises ModelUnreadable, ModelSchemaWrong."""
    return AskedModel(load_forecaster(directory))
