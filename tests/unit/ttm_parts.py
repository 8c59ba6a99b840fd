"""Models that say what they are told to, and histories to ask them about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np

from controllers.ttm.due import Floats
from controllers.ttm.errors import ForecastUnusable
from controllers.ttm.history import Histories
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS
from runtime.names import NodeId, Sha256

AWAY = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64, 2.33])


class LastValue:
    """The newest known minute goes on, give or take `width` of it; `bias` too much. Broken, it gives no numbers."""

    def __init__(self, width: float = 0.1, *, bias: float = 0.0) -> None:
        self.width = width
        self.bias = bias
        self.broken = False
        self.asked: list[tuple[str, ...]] = []

    def quantiles(self, histories: Histories) -> Floats:
        self.asked.append(histories.slices)
        if self.broken:
            raise ForecastUnusable("the model gave what is no number")
        median = histories.recent[:, -1:].astype(np.float64) * (1 + self.bias)
        bands = np.maximum(median[..., None] * (1 + self.width * AWAY), 0.0)
        return np.repeat(bands, HORIZONS, axis=1)


def histories(loads: dict[str, Sequence[float]]) -> Histories:
    """By slice, the newest minutes; the others of the last hour, and days ago, nobody measured."""
    recent = np.full((len(loads), HISTORY), np.nan, dtype=np.float32)
    for row, values in enumerate(loads.values()):
        recent[row, HISTORY - len(values[-HISTORY:]) :] = values[-HISTORY:]
    nothing = np.full((len(loads), ALIGNED), np.nan, dtype=np.float32)
    return Histories(slices=tuple(loads), recent=recent, day_ago=nothing, week_ago=nothing)


class NoPeers:
    async def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        raise AssertionError("there is nobody else")
        yield b""

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        raise AssertionError("there is nobody else")
