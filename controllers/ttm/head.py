"""The last step of the model in numpy: from what the head gives to quantiles of load, and from loads to what it is
taught with. The graph does the same; a challenger's head is fitted with these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers.ttm.history import Floats
from controllers.ttm.schema import HORIZONS, MEDIAN, QUANTILES

CLIP = 25.0  # spreads from the location beyond which a load is no further away


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """weight [80, features], bias [80]: the last step of the model, which may be exchanged alone."""

    weight: Floats
    bias: Floats

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.weight).all() and np.isfinite(self.bias).all())


def normalised(load: Floats, normalisation: Floats) -> Floats:
    """load [n, m] as the model sees it: asinh(load / unit), less its location, in spreads. NaN stays NaN.
    normalisation [n, 4] is the graph's output of that name for the same rows."""
    unit, location, spread = (normalisation[:, at : at + 1] for at in range(3))
    found: Floats = np.clip((np.arcsinh(load / unit) - location) / spread, -CLIP, CLIP)
    return found


def quantiles_of(raw: Floats, normalisation: Floats) -> Floats:
    """raw [n, HORIZONS * len(QUANTILES)] is features @ weight.T + bias. Gives normalised quantiles
    [n, HORIZONS, len(QUANTILES)]: the median relative to the anchor, which is the newest known minute, the others as
    steps that cannot be negative, so that they never cross."""
    cells = raw.reshape(-1, HORIZONS, len(QUANTILES))
    median = normalisation[:, 3][:, None, None] + cells[..., MEDIAN : MEDIAN + 1]
    steps = np.logaddexp(np.float32(0), cells)
    above = np.cumsum(steps[..., MEDIAN + 1 :], axis=-1)
    below = np.cumsum(steps[..., :MEDIAN][..., ::-1], axis=-1)[..., ::-1]
    found: Floats = np.concatenate([median - below, median, median + above], axis=-1)
    return found
