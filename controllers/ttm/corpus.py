"""Many series of load, and windows cut from them as the forecaster will see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.errors import TrainingDataUnusable
from controllers.ttm.history import Floats
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS, WEEK_DAYS

Indices = NDArray[np.int64]

DAYS_MIN: Final = 2  # known of a series, to be learnt from
HELD_BACK: Final = 0.15  # of each series, its last part: to judge a model with, not to learn

_RECENT: Final = np.arange(1 - HISTORY, 1)
_AHEAD: Final = np.arange(1, HORIZONS + 1)
_ALIGNED: Final = np.arange(1 - HISTORY, HORIZONS + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """`load` one value a minute, NaN where nobody measured; `season`: minutes a day. A trace with a coarser step counts
    each row as a minute and so has shorter days."""

    name: str
    load: NDArray[np.float64]
    season: int

    @property
    def days(self) -> float:
        """Of which something is known."""
        return float(np.isfinite(self.load).sum() / self.season)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """recent [n, 60], day_ago and week_ago [n, 70] as in Histories; target [n, 10]: what came then."""

    recent: Floats
    day_ago: Floats
    week_ago: Floats
    target: Floats


class Corpus:
    """Series end to end in one array, with a week of nothing before each, so that any window is one look-up."""

    def __init__(self, series: Sequence[Series]) -> None:
        """Raises TrainingDataUnusable."""
        if not series:
            raise TrainingDataUnusable("there is no series at all")
        parts: list[Floats] = []
        starts: list[int] = []
        length = 0
        for each in series:
            if each.season < ALIGNED or len(each.load) < ALIGNED:
                raise TrainingDataUnusable(
                    f"{each.name} has {len(each.load)} values and {each.season} a day; {ALIGNED} is the least of both"
                )
            gap = np.full(WEEK_DAYS * each.season + HISTORY, np.nan, dtype=np.float32)
            parts += [gap, each.load.astype(np.float32)]
            starts.append(length + len(gap))
            length = starts[-1] + len(each.load)
        self.series = tuple(series)
        self._flat = np.concatenate(parts)
        self._starts = np.array(starts)
        self._seasons = np.array([each.season for each in series])

    def windows(self, which: Indices, newest: Indices) -> Windows:
        """which [n]: the series; newest [n]: in it, the last minute that is seen. What lies before the series' begin is
        NaN; the ten minutes after `newest` must exist."""
        at, day = (self._starts[which] + newest)[:, None], self._seasons[which][:, None]
        return Windows(
            recent=self._flat[at + _RECENT],
            day_ago=self._flat[at - day + _ALIGNED],
            week_ago=self._flat[at - WEEK_DAYS * day + _ALIGNED],
            target=self._flat[at + _AHEAD],
        )
