"""What a plot of a run needs, and no more: the judged part in at most DRAWN steps."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from evals.scaling.arrivals import MINUTE_S
from evals.scaling.run import History
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Floats

DRAWN: Final = 480

Steps = NDArray[np.int64]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """Of each step: its highest load and its most needed, serving and existing instances, and the part of its seconds
    with a violation. Loads are in instances that are busy all the time. `band`: a forecast's 5th and 95th percentile,
    where there was a forecast."""

    step_s: float
    load: list[float]
    needed: list[float]
    serving: list[float]
    violated: list[float]
    band: tuple[list[float], list[float]] | None = None


def drawing(history: History, service: ServiceModel) -> Drawing:
    judged = slice(history.judged_from, None)
    count = len(history.arrivals) - history.judged_from
    edges = np.unique(np.linspace(0, count, min(DRAWN, count) + 1).astype(int))[:-1]
    violated = (history.latency_p95_s[judged] > service.slo_s).astype(np.float64)
    lengths = np.diff(np.append(edges, count))
    return Drawing(
        step_s=count / len(edges),
        load=_highest(history.smoothed[judged] / service.rate_per_instance, edges, 2),
        needed=_highest(history.needed[judged], edges, 0),
        serving=_highest(history.serving[judged], edges, 0),
        violated=[round(each, 3) for each in (np.add.reduceat(violated, edges) / lengths).tolist()],
        band=_band(history, service, edges) if history.band is not None else None,
    )


def _band(history: History, service: ServiceModel, edges: Steps) -> tuple[list[float], list[float]] | None:
    """Of each step the lowest 5th and the highest 95th percentile, in busy instances; what was not said is nothing."""
    assert history.band is not None
    said = np.repeat(history.band, MINUTE_S, axis=0)[history.judged_from :] / service.rate_per_instance
    low, high = np.nan_to_num(said[:, 0]), np.nan_to_num(said[:, 1])
    lowest = [round(each, 2) for each in np.minimum.reduceat(low, edges).tolist()]
    return lowest, _highest(high, edges, 2)


def _highest(values: Floats, edges: Steps, digits: int) -> list[float]:
    return [round(each, digits) for each in np.maximum.reduceat(values, edges).tolist()]
