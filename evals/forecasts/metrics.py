"""What forecasts are judged by."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.schema import MEDIAN, QUANTILES

Floats = NDArray[np.float64]

SCORED: Final = tuple(QUANTILES.index(each) for each in (0.1, 0.25, 0.5, 0.75, 0.9))
LOW, HIGH = QUANTILES.index(0.05), QUANTILES.index(0.95)


def mase(quantiles: Floats, actual: Floats, step: float) -> float:
    """Mean absolute error of the median in mean steps of the series; `step` is its mean absolute change a minute.
    quantiles [n, 10, 8], actual [n, 10]. Source: Hyndman & Koehler 2006."""
    return float(np.abs(quantiles[..., MEDIAN] - actual).mean() / step)


def weighted_quantile_loss(quantiles: Floats, actual: Floats) -> float:
    """2 x pinball loss, mean over the quantiles 0.1, 0.25, 0.5, 0.75, 0.9, over the load. Sources: Koenker & Bassett
    1978; the weighting as in Rangapuram et al. 2018."""
    levels, error = np.array(QUANTILES)[list(SCORED)], actual[..., None] - quantiles[..., list(SCORED)]
    losses = 2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=-1)
    return float(losses.sum() / np.abs(actual).sum())


def coverage(quantiles: Floats, actual: Floats) -> float:
    """How much of what came lay between the quantiles 0.05 and 0.95."""
    return float(((actual >= quantiles[..., LOW]) & (actual <= quantiles[..., HIGH])).mean())
