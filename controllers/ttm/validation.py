"""Whether a model can be used: it is asked about loads that are hard for models, and its answers are looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from controllers.ttm.errors import ForecastUnusable
from controllers.ttm.forecaster import OnnxForecaster
from controllers.ttm.history import Floats, Histories
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS, MEDIAN

MANY: Final = 100  # series in one batch
RUNS: Final = 50
SAME_SHARE: Final = 0.1  # how far the median of a load that never changed may be from it
SCALE_SHARE: Final = 0.02  # how far answers may differ when the same load is a thousand times as much


class Probe:
    """Loads as [1, 130] of a week ago, a day ago and now, each with what followed."""

    MADE: Final[dict[str, Callable[[], Floats]]] = {
        "constant": lambda: np.full(ALIGNED, 600.0, dtype=np.float32),
        "idle": lambda: np.zeros(ALIGNED, dtype=np.float32),
        "one request": lambda: np.eye(1, ALIGNED, HISTORY - 1, dtype=np.float32)[0],
        "ramp": lambda: np.linspace(10, 1_000, ALIGNED, dtype=np.float32),
        "spike of 1000 times": lambda: np.where(np.arange(ALIGNED) == HISTORY - 1, 1e6, 1e3).astype(np.float32),
        "counter reset": lambda: np.where(np.arange(ALIGNED) == HISTORY - 2, 0.0, 5e4).astype(np.float32),
        "huge": lambda: np.full(ALIGNED, 1e9, dtype=np.float32),
        "gaps": lambda: np.where(np.arange(ALIGNED) % 3 == 0, np.nan, 300.0).astype(np.float32),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Latencies are medians of RUNS on one thread."""

    failures: tuple[str, ...]
    probes: int
    one_series_ms: float
    many_series_ms: float


def validate(forecaster: OnnxForecaster, *, clock: Callable[[], float] = time.perf_counter) -> Validation:
    """Asks and measures; does not raise for what it finds."""
    return Validation(
        failures=tuple(failures_of(forecaster)),
        probes=len(Probe.MADE) * 2 + 2,
        one_series_ms=_latency_ms(forecaster, 1, clock),
        many_series_ms=_latency_ms(forecaster, MANY, clock),
    )


def failures_of(forecaster: OnnxForecaster) -> list[str]:
    """What it says that no load can be, or that contradicts itself."""
    failures = [failure for name, make in Probe.MADE.items() if (failure := _probed(forecaster, name, make()))]
    return failures + _scaled(forecaster) + _many(forecaster)


def histories_of(load: Floats, *, known_before: bool) -> Histories:
    """A slice that did the same a day and a week ago, or did not exist then. load: [70], of which 60 are seen."""
    before = load if known_before else np.full(ALIGNED, np.nan, dtype=np.float32)
    return Histories(slices=("probe",), recent=load[None, :HISTORY], day_ago=before[None], week_ago=before[None])


def _probed(forecaster: OnnxForecaster, name: str, load: Floats) -> str:
    for known_before in (True, False):
        try:
            quantiles = forecaster.run(histories_of(load, known_before=known_before)).quantiles[0]
        except ForecastUnusable as fault:
            return f"{name}: {fault}"
        if name == "constant" and np.abs(quantiles[:, MEDIAN] / load[0] - 1).max() > SAME_SHARE:
            return f"{name}: the median is {quantiles[:, MEDIAN].tolist()}"
    return ""


def _scaled(forecaster: OnnxForecaster) -> list[str]:
    load = Probe.MADE["ramp"]()
    try:
        small, large = (
            forecaster.run(histories_of(load * np.float32(factor), known_before=True)).quantiles[0, :, MEDIAN]
            for factor in (1.0, 1000.0)
        )
    except ForecastUnusable as fault:
        return [f"scale: {fault}"]
    if np.abs(large / (small * 1000) - 1).max() > SCALE_SHARE:
        return [f"scale: a thousand times the load gave {(large / small).tolist()} times the forecast"]
    return []


def _many(forecaster: OnnxForecaster) -> list[str]:
    """It is asked for all slices at once: what it needs for one says nothing of what it needs for a hundred."""
    try:
        forecaster.run(_series(MANY))
    except ForecastUnusable as fault:
        return [f"{MANY} series: {fault}"]
    return []


def _series(count: int) -> Histories:
    chance = np.random.default_rng(1)
    recent, day_ago, week_ago = (
        chance.uniform(100, 1_000, (count, width)).astype(np.float32) for width in (HISTORY, ALIGNED, ALIGNED)
    )
    return Histories(slices=tuple(map(str, range(count))), recent=recent, day_ago=day_ago, week_ago=week_ago)


def _latency_ms(forecaster: OnnxForecaster, count: int, clock: Callable[[], float]) -> float:
    asked = _series(count)
    took = []
    for _ in range(RUNS):
        begun = clock()
        with suppress(ForecastUnusable):  # what it says is judged above
            forecaster.run(asked)
        took.append((clock() - begun) * 1000)
    return float(np.median(took[HORIZONS:]))  # the first ones warm the caches
