"""Load that was made, of kinds that real traces have too few of: calm days, steps, timers, bursts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from evals.scaling.traces import Floats, Trace

ROWS: Final = 6_000
SEASONS: Final = (288, 1_440)
EACH: Final = 3  # of every kind
ORIGIN: Final = "synthetic"

Chance = np.random.Generator


def synthetic(seed: int) -> tuple[Trace, ...]:
    """The same seed gives the same traces."""
    chance = np.random.default_rng(seed)
    return tuple(_trace(chance, kind, number) for kind, count in KINDS.items() for number in range(count * EACH))


def _trace(chance: Chance, kind: str, number: int) -> Trace:
    season = int(chance.choice(SEASONS))
    wave, extra, noise = SHAPES[kind]
    load = extra(chance, _days(chance, season, wave), season)
    wandering = _wandering(chance, chance.uniform(*noise), chance.uniform(0.0, 0.9))
    return Trace(name=f"{kind}-{number}", origin=ORIGIN, load=np.maximum(load, 0.01) * np.exp(wandering), season=season)


def _days(chance: Chance, season: int, wave: float) -> Floats:
    """Three harmonics of a day, and a week on top. wave: height of the first, as a part of the mean."""
    at = np.arange(ROWS)
    load = np.ones(ROWS)
    for harmonic in range(1, 4):
        phase = chance.uniform(0, 2 * math.pi)
        load += chance.uniform(0.3, 1.0) * wave / harmonic * np.sin(2 * math.pi * harmonic * at / season + phase)
    week = 1 + chance.uniform(0, 0.2) * np.sin(2 * math.pi * at / (7 * season))
    return np.maximum(load, 0.08) * week


def _wandering(chance: Chance, deviation: float, keep: float) -> Floats:
    found = np.empty(ROWS)
    value = 0.0
    for at, step in enumerate(chance.normal(0.0, deviation, ROWS).tolist()):
        value = keep * value + step
        found[at] = value
    return found


def _plain(_chance: Chance, load: Floats, _season: int) -> Floats:
    return load


def _crowds(chance: Chance, load: Floats, season: int, *, a_day: float) -> Floats:
    """Flash crowds: a fast rise, then an exponential decay; heights follow a Pareto distribution."""
    at = np.arange(ROWS)
    for _ in range(chance.poisson(ROWS / season * a_day)):
        begin = int(chance.integers(0, ROWS))
        since = np.maximum(at - begin, 0)
        rise = 1 - np.exp(-(since + 0.5) / chance.uniform(0.3, 10))
        load = load + (at >= begin) * chance.pareto(2.0) * 0.6 * np.exp(-since / chance.uniform(2, 60)) * rise
    return load


def _few_crowds(chance: Chance, load: Floats, season: int) -> Floats:
    return _crowds(chance, load, season, a_day=1.5)


def _many_crowds(chance: Chance, load: Floats, season: int) -> Floats:
    return _crowds(chance, load, season, a_day=6.0)


def _levels(chance: Chance, load: Floats, season: int) -> Floats:
    load = load.copy()
    for _ in range(chance.poisson(ROWS / season * 4)):
        begin = int(chance.integers(0, ROWS))
        load[begin : begin + int(chance.integers(5, 300))] *= chance.uniform(0.4, 2.5)
    return load


def _timers(chance: Chance, load: Floats, _season: int) -> Floats:
    period, width = int(chance.choice((15, 30, 60, 120))), int(chance.integers(1, 6))
    return load + (np.arange(ROWS) % period < width) * chance.uniform(0.5, 3.0)


KINDS: Final[Mapping[str, int]] = {"calm": 2, "mixed": 1, "bursts": 1, "flat": 1, "levels": 1, "timers": 1}
"""How often each, times EACH."""
SHAPES: Final[Mapping[str, tuple[float, Callable[[Chance, Floats, int], Floats], tuple[float, float]]]] = {
    "calm": (0.9, _plain, (0.005, 0.04)),
    "mixed": (0.7, _few_crowds, (0.03, 0.12)),
    "bursts": (0.4, _many_crowds, (0.05, 0.25)),
    "flat": (0.05, _plain, (0.02, 0.1)),
    "levels": (0.4, _levels, (0.01, 0.08)),
    "timers": (0.5, _timers, (0.01, 0.08)),
}
"""Height of the daily wave, what comes on top, and the noise of a minute, least and most."""
