"""Forecasts that wait for what they speak of: each minute, what was said about it one to ten minutes ago."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class DueState(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, between two processes. figures: 32-bit floats, as forecasts are."""

    slices: tuple[str, ...]
    made: tuple[int | None, ...]
    figures: bytes


class DueForecasts:
    """Of all slices, `width` figures for each horizon. Bounded: a ring of as many minutes as there are horizons."""

    def __init__(self, *, horizons: int, width: int) -> None:
        self.slices: tuple[str, ...] = ()
        self._horizons = horizons
        self._width = width
        self._figures: Floats = np.full((horizons, 0, horizons, width), np.nan)
        self._made: list[int | None] = [None] * horizons

    def keep(self, slices: Sequence[str]) -> None:
        """From now on these, in this order; what waits for those that stay goes on waiting."""
        if tuple(slices) == self.slices:
            return
        rows = {name: row for row, name in enumerate(self.slices)}
        old = np.array([rows.get(name, -1) for name in slices], dtype=np.intp)
        here = old >= 0
        figures = np.full((self._horizons, len(old), self._horizons, self._width), np.nan)
        figures[:, here] = self._figures[:, old[here]]
        self.slices, self._figures = tuple(slices), figures

    def add(self, minute: int, figures: Floats) -> None:
        """What is said at the end of that minute about the next ones. figures: (slices, horizons, width)."""
        at = minute % self._horizons
        self._made[at] = minute
        self._figures[at] = figures

    def due(self, minute: int) -> Floats:
        """(slices, horizons, width): what was said about that minute so many minutes before; NaN where nothing was."""
        found = np.full(self._figures.shape[1:], np.nan)
        for ahead in range(1, self._horizons + 1):
            at = (minute - ahead) % self._horizons
            if self._made[at] == minute - ahead:
                found[:, ahead - 1] = self._figures[at][:, ahead - 1]
        return found

    def state(self) -> DueState:
        figures = self._figures.astype(np.float32).tobytes()
        return DueState(slices=self.slices, made=tuple(self._made), figures=figures)

    def resume(self, state: DueState) -> None:
        """Waits for what waited there. Raises ValueError for what has another shape."""
        shape = (self._horizons, len(state.slices), self._horizons, self._width)
        self._figures = np.frombuffer(state.figures, dtype=np.float32).reshape(shape).astype(np.float64)
        self.slices, self._made = state.slices, list(state.made)
