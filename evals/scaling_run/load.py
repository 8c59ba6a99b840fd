"""The load of the run, and the same of earlier days as the history holds it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final

from controllers.context.minute import MINUTE_S, SliceMinute

LOW_RPS: Final = 20.0
HIGH_RPS: Final = 110.0
RAMP_S: Final = (60.0, 240.0, 270.0, 300.0)  # begins, is up, begins to fall, is down
SPIKE_S: Final = (330.0, 350.0)
DAYS_S: Final = (390.0, 630.0)
DAY_S: Final = 240.0
LENGTH_S: Final = 630.0
DAY_MINUTES: Final = 1_440
HOUR_MINUTES: Final = 60
NOISE: Final = 0.03  # of a minute of an earlier day


class RunLoad:
    """Requests a second: a ramp, a spike, a day of four minutes."""

    def __init__(self, *, spike: bool, warm_up_s: float = 0.0) -> None:
        self._spike, self._warm_up_s = spike, warm_up_s

    def rate(self, at_s: float) -> float:
        at_s -= self._warm_up_s
        begins, up, falls, down = RAMP_S
        if begins <= at_s < down:
            return LOW_RPS + (HIGH_RPS - LOW_RPS) * min(
                1.0, (at_s - begins) / (up - begins), (down - at_s) / (down - falls)
            )
        if DAYS_S[0] <= at_s < DAYS_S[1]:
            share = (1 - math.cos(2 * math.pi * (at_s - DAYS_S[0]) / DAY_S)) / 2
            return LOW_RPS + (HIGH_RPS - LOW_RPS) * share
        return HIGH_RPS if self._spike and SPIKE_S[0] <= at_s < SPIKE_S[1] else LOW_RPS


def earlier_days(slice_name: str, first_minute: int, seed: int) -> Iterator[SliceMinute]:
    """The last hour, and seven days with this load in the same minutes, but for the spike. first_minute: of the run."""
    load, chance = RunLoad(spike=False), random.Random(seed)  # noqa: S311  repeatable, nothing secret
    for days in range(8):
        until = HOUR_MINUTES if days else 0
        for minute in range(-HOUR_MINUTES, until):
            mean = sum(load.rate(minute * MINUTE_S + second) for second in range(MINUTE_S)) / MINUTE_S
            yield SliceMinute(
                slice=slice_name,
                version="1.0.0",
                minute=first_minute + minute - days * DAY_MINUTES,
                invocations=max(0.0, mean * MINUTE_S * (1 + NOISE * chance.gauss(0, 1))),
                instances=math.ceil(mean / 15),
            )
