"""What forecasts in a thread of the leader: the shipped graph, the head in force, and the cycle that asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from controllers.ttm.cycle import Cycle, Tick
from controllers.ttm.due import Floats
from controllers.ttm.forecaster import OnnxForecaster
from controllers.ttm.head_file import unpack_head
from controllers.ttm.history import Histories
from controllers.ttm.schema import ALIGNED, HISTORY
from controllers.ttm.validation import Probe, histories_of


@dataclass(frozen=True, slots=True)
class AskedModel:
    """Implements cycle.Model."""

    forecaster: OnnxForecaster

    def quantiles(self, histories: Histories) -> Floats:
        return self.forecaster.run(histories).quantiles.astype(np.float64)


class Engine:
    """All heads share one session, so a swap is an assignment: no minute waits for it."""

    def __init__(self, shipped: OnnxForecaster) -> None:
        self._shipped = shipped
        self.cycle = Cycle(AskedModel(shipped))
        self._factors: Mapping[str, Sequence[float]] = {}

    def start_from(self, factors: Mapping[str, Sequence[float]]) -> None:
        """Bands as an earlier leader had calibrated them, for the slices of the first minute."""
        self._factors = factors

    def use(self, now: bytes | None, before: bytes | None, *, probation: bool) -> None:
        """Heads as bytes; None is the shipped model's own. Raises TtmFault, and then nothing has changed."""
        champion, former = self._model(now), self._model(before)
        if probation:
            self.cycle.crown(former, probation=False)
        self.cycle.crown(champion, probation=probation)

    def _model(self, head: bytes | None) -> AskedModel:
        """Asked about loads that are hard for models before it is trusted with real ones."""
        if head is None:
            return AskedModel(self._shipped)
        forecaster = self._shipped.with_head(unpack_head(head, self._shipped.card.sha256))
        for make in Probe.MADE.values():
            forecaster.run(histories_of(make(), known_before=False))
        return AskedModel(forecaster)

    def minute(self, minute: int, slices: tuple[str, ...], loads: Sequence[Sequence[float]]) -> Tick:
        """loads: of each slice three in turn, as live.spans_of asks for them. Raises TtmFault."""
        if self._factors and slices:
            self.cycle.start_from(slices, self._factors)
            self._factors = {}
        return self.cycle.minute(
            minute,
            Histories(
                slices=slices,
                recent=_rows(loads[0::3], HISTORY),
                day_ago=_rows(loads[1::3], ALIGNED),
                week_ago=_rows(loads[2::3], ALIGNED),
            ),
        )


def _rows(loads: Sequence[Sequence[float]], width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([np.asarray(each, dtype=np.float32) for each in loads], dtype=np.float32).reshape(-1, width)
