"""Forecasts beside what came: of each slice's last hour, what was said a minute ahead and what was then measured."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controllers.ttm.load_forecast import LoadForecast

MINUTE_S: Final = 60
MINUTES: Final = 60  # 2,000 slices x 60 x about 120 B is 14 MB at most, on the leader alone
BARS: Final = "▁▂▃▄▅▆▇█"


class Trail:
    """On the leader, from the first minute of its lead. Rates are requests a second."""

    def __init__(self) -> None:
        self._slices: dict[str, deque[SaidMinute]] = {}

    def note(self, minute: int, loads: Mapping[str, float], said: Mapping[str, Band]) -> None:
        """loads: measured in that minute, NaN is not known; said: about the next one. Slices that are in neither are
        forgotten."""
        names = {*loads, *said}
        self._slices = {name: self._slices.get(name) or deque(maxlen=MINUTES) for name in sorted(names)}
        for name, minutes in self._slices.items():
            if minutes and minutes[-1].minute == minute:
                minutes[-1].rate = loads.get(name, math.nan)
            if name in said:
                minutes.append(SaidMinute(minute=minute + 1, band=said[name]))

    def of(self, slice_name: str) -> Sequence[SaidMinute]:
        """Oldest first; the last one speaks of a minute that is not over."""
        return tuple(self._slices.get(slice_name, ()))

    def clear(self) -> None:
        self._slices = {}


@dataclass(frozen=True, slots=True)
class Band:
    """The 10th, 50th and 90th percentile."""

    low: float
    middle: float
    high: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.middle, self.high))


@dataclass(slots=True, kw_only=True)
class SaidMinute:
    minute: int
    band: Band
    rate: float = field(default=math.nan)
    """Measured; NaN is not known, or not yet."""


def band_of(load: LoadForecast, minutes_ahead: int) -> Band:
    """Requests a second."""
    return Band(*(load.at(minutes_ahead, quantile) / MINUTE_S for quantile in (0.1, 0.5, 0.9)))


def bars(past: Sequence[float], ahead: Sequence[float]) -> str:
    """One character a minute, on one scale from zero; a blank is not known."""
    top = max((value for value in (*past, *ahead) if math.isfinite(value)), default=0.0)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return " "
        return BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] if top > 0 else BARS[0]

    return f"{''.join(map(bar, past))}|{''.join(map(bar, ahead))}"
