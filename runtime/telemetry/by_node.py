"""Each slice's figures of the last minute node by node: whether what is slow or fails does so on one node alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from runtime.telemetry.figures import SliceFigures
from runtime.telemetry.histogram import Histogram
from runtime.telemetry.windows import Ring

KEPT_S: Final = 60
SERIES: Final = ("calls", "errors", "p95_ms")
# 3 series x 60 x 4 bytes and their rings: 1.3 kB for a slice on a node

NodeSeries = Mapping[str, list[float]]


class ByNode:
    """Calls count where they ran. What nobody told for a minute goes."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], dict[str, Ring]] = {}

    def put(self, at_s: int, slice_name: str, node: str, figures: SliceFigures) -> None:
        rings = self._rings.get((slice_name, node))
        if rings is None:
            rings = self._rings[slice_name, node] = {name: Ring(1, KEPT_S) for name in SERIES}
        p95_us = Histogram(figures.buckets).percentiles((0.95,))[0] if figures.buckets else math.nan
        for name, value in zip(SERIES, (figures.calls, figures.errors, p95_us / 1_000), strict=True):
            rings[name].put(at_s, value)

    def forget(self, now_s: int) -> None:
        self._rings = {key: rings for key, rings in self._rings.items() if _is_recent(rings, now_s)}

    def clear(self) -> None:
        self._rings.clear()

    def of(self, slice_name: str, now_s: int) -> dict[str, NodeSeries]:
        """By node, oldest first, up to the second `now_s`; NaN is missing."""
        return {
            node: {series: ring.newest(KEPT_S, until=now_s) for series, ring in rings.items()}
            for (name, node), rings in sorted(self._rings.items())
            if name == slice_name and _is_recent(rings, now_s)
        }


def _is_recent(rings: Mapping[str, Ring], now_s: int) -> bool:
    return abs(now_s - rings["calls"].at) < KEPT_S
