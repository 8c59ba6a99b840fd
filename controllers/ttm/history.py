"""What is known of many slices' load when a forecast is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.errors import HistoryInvalid
from controllers.ttm.schema import ALIGNED, HISTORY, KNOWN_MIN, NEWEST_MAX

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """One row a slice, requests a minute, NaN where nobody measured. recent: [n, 60], the newest minute last;
    day_ago, week_ago: [n, 70], the same minutes then and the ten that followed. Raises HistoryInvalid."""

    slices: tuple[str, ...]
    recent: Floats
    day_ago: Floats
    week_ago: Floats

    def __post_init__(self) -> None:
        count = len(self.slices)
        for name, found, width in (
            ("recent", self.recent, HISTORY),
            ("day_ago", self.day_ago, ALIGNED),
            ("week_ago", self.week_ago, ALIGNED),
        ):
            if found.shape != (count, width) or found.dtype != np.float32:
                raise HistoryInvalid(f"{name} is {found.dtype} of {found.shape}, not float32 of {(count, width)}")

    def cleaned(self) -> Histories:
        """Infinite and negative loads, which no slice has, count as not measured."""
        recent, day_ago, week_ago = (
            np.where(np.isfinite(each) & (each >= 0), each, np.float32(np.nan))
            for each in (self.recent, self.day_ago, self.week_ago)
        )
        return Histories(slices=self.slices, recent=recent, day_ago=day_ago, week_ago=week_ago)

    def foreseeable(self) -> NDArray[np.bool_]:
        """Of which rows enough is known, and lately enough."""
        known = np.isfinite(self.recent)
        found: NDArray[np.bool_] = (known.sum(axis=1) >= KNOWN_MIN) & known[:, -NEWEST_MAX:].any(axis=1)
        return found

    def only(self, rows: NDArray[np.bool_]) -> Histories:
        return Histories(
            slices=tuple(name for name, kept in zip(self.slices, rows.tolist(), strict=True) if kept),
            recent=self.recent[rows],
            day_ago=self.day_ago[rows],
            week_ago=self.week_ago[rows],
        )
