"""Requests a second, made from a trace's minutes: ramps between them or steps, with noise and chance on top."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

import numpy as np

from evals.scaling.service import ServiceModel
from evals.scaling.traces import Floats, Trace

NOISE: Final = 0.05  # standard deviation of the slow noise, as a part of the load
NOISE_TAU_S: Final = 20.0
BUSY_AT_P99: Final = 40.0  # fully busy instances that the 99th percentile of a trace asks for
MINUTE_S: Final = 60


class Generator(StrEnum):
    """What lies between two minutes: truth is somewhere between both."""

    RAMP = "ramp"
    STEP = "step"


def arrivals(trace: Trace, service: ServiceModel, generator: Generator, seed: int) -> Floats:
    """Requests in each second, as many minutes long as the trace has rows. The same seed gives the same."""
    minutes = scaled(trace, service)
    count = len(minutes) * MINUTE_S
    if generator is Generator.STEP:
        base = np.repeat(minutes, MINUTE_S)
    else:
        middles = np.arange(len(minutes)) * MINUTE_S + MINUTE_S / 2
        base = np.interp(np.arange(count), middles, minutes)
    chance = np.random.default_rng(seed)
    wandering = np.exp(_slow_noise(chance, count) - NOISE**2 / 2)
    return chance.poisson(np.maximum(base * wandering, 0.0)).astype(np.float64)


def scaled(trace: Trace, service: ServiceModel) -> Floats:
    """The trace in requests a second, so that its 99th percentile keeps `BUSY_AT_P99` instances busy."""
    peak = float(np.percentile(trace.load, 99)) or float(trace.load.max())
    return trace.load * (BUSY_AT_P99 * service.rate_per_instance / peak)


def _slow_noise(chance: np.random.Generator, count: int) -> Floats:
    """A first-order autoregression of standard deviation NOISE."""
    keep = math.exp(-1.0 / NOISE_TAU_S)
    steps = chance.normal(0.0, NOISE * math.sqrt(1.0 - keep * keep), count)
    found = np.empty(count)
    value = 0.0
    for at, step in enumerate(steps.tolist()):
        value = keep * value + step
        found[at] = value
    return found
