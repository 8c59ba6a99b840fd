"""Loads that no trace at hand has, made by seed: so that the model has seen each shape that slices are known for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.corpus import Series

Load = NDArray[np.float64]
Chance = np.random.Generator

DAYS: Final = 9  # so that a week ago exists
SEASONS: Final = (1440, 288)
FLOOR: Final = 0.02  # of a usual load of about 1


def diurnal(chance: Chance, minutes: int, season: int) -> Load:
    """A day's wave of a few harmonics, weaker or stronger over the week."""
    at = np.arange(minutes)
    load = np.full(minutes, chance.uniform(0.5, 2.0))
    for harmonic in range(1, int(chance.integers(2, 5))):
        phase = chance.uniform(0, 2 * np.pi)
        load += chance.uniform(0, 0.8) / harmonic * np.sin(2 * np.pi * harmonic * at / season + phase)
    week: Load = 1 + chance.uniform(0, 0.3) * np.sin(2 * np.pi * at / (7 * season))
    return load * week


def steady(chance: Chance, minutes: int, season: int) -> Load:
    return np.full(minutes, chance.uniform(0.3, 3.0))


def ramp(chance: Chance, minutes: int, season: int) -> Load:
    """Climbs and falls of ten minutes to half a day between plateaus."""
    found = np.empty(0)
    level = chance.uniform(0.3, 1.5)
    while len(found) < minutes:
        to = level * chance.uniform(0.4, 2.5)
        to = float(np.clip(to, 0.1, 20))
        climb = np.linspace(level, to, int(chance.integers(10, season // 2)))
        found = np.concatenate([found, climb, np.full(int(chance.integers(10, season // 2)), to)])
        level = to
    return found[:minutes]


def spike(chance: Chance, minutes: int, season: int) -> Load:
    """Short peaks, some of them every day at the same minute, as scheduled jobs make them."""
    load = steady(chance, minutes, season)
    daily = np.arange(int(chance.integers(0, season)), minutes, season)
    now_and_then = chance.integers(0, minutes, int(chance.integers(0, 60)))
    for at in np.concatenate([daily, now_and_then]):
        load[at : at + int(chance.integers(1, 12))] += chance.uniform(0.5, 8.0)
    return load


def flash_crowd(chance: Chance, minutes: int, season: int) -> Load:
    """A quick rise and a slow decay over a wave, a few times."""
    load = diurnal(chance, minutes, season)
    for _ in range(int(chance.integers(4, 40))):
        since = np.maximum(np.arange(minutes) - chance.integers(0, minutes), 0)
        rise, decay = chance.uniform(1, 15), chance.uniform(5, 90)
        load += chance.uniform(0.5, 6.0) * np.exp(-since / decay) * (1 - np.exp(-since / rise))
    return load


def regime_change(chance: Chance, minutes: int, season: int) -> Load:
    """The level, or the whole day's shape, is another one from some minute on."""
    load = diurnal(chance, minutes, season)
    for _ in range(int(chance.integers(1, 5))):
        at = int(chance.integers(0, minutes))
        load[at:] = (
            diurnal(chance, minutes, season)[at:] if chance.random() < 0.4 else load[at:] * chance.uniform(0.3, 3)
        )
    return load


def mixed(chance: Chance, minutes: int, season: int) -> Load:
    """The mean of two others."""
    first, second = chance.choice(len(SIMPLE), 2, replace=False)
    return (SIMPLE[first](chance, minutes, season) + SIMPLE[second](chance, minutes, season)) / 2


SIMPLE: Final[tuple[Callable[[Chance, int, int], Load], ...]] = (
    diurnal,
    spike,
    ramp,
    steady,
    flash_crowd,
    regime_change,
)
PATTERNS: Final = {pattern.__name__: pattern for pattern in (*SIMPLE, mixed)}


def noisy(chance: Chance, load: Load) -> Load:
    """With noise that lasts for a while, and the chance of single requests."""
    shocks, memory = chance.normal(0, chance.uniform(0.005, 0.15), len(load)), chance.uniform(0, 0.95)
    noise = np.empty_like(load)
    level = 0.0
    for at, shock in enumerate(shocks.tolist()):
        level = memory * level + shock
        noise[at] = level
    requests = 10 ** chance.uniform(0.5, 5)  # a minute, at a load of 1
    found: Load = chance.poisson(np.maximum(load, FLOOR) * np.exp(noise) * requests).astype(np.float64)
    return found


def synthetic(seed: int, rounds: int) -> list[Series]:
    """`rounds` series of each pattern."""
    found = []
    for number in range(rounds):
        for kind, (name, pattern) in enumerate(PATTERNS.items()):
            chance = np.random.default_rng([seed, number, kind])
            season = SEASONS[(number + kind) % len(SEASONS)]
            load = noisy(chance, pattern(chance, DAYS * season, season))
            found.append(Series(name=f"{name}-{number}", load=load, season=season))
    return found
