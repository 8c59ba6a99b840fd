"""What scaling decides with, and what it decides: plain values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

HOLD_S_MAX: Final = 3_600


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one slice. Utilisation is the planned part, 0 to 1, of what an instance carries when it is always busy."""

    utilisation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.85
    """That instances may reach at the multiple of the rate that the rules want to be ready for."""
    plan_utilisation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.75
    """That they may reach at a forecast rate."""
    hold_s: Annotated[int, Meta(ge=0, le=HOLD_S_MAX)] = 60
    """For how long a need is remembered before instances go."""
    slo_p95_ms: Annotated[float, Meta(gt=0.0)] = 500.0
    step_share: Annotated[float, Meta(gt=0.0, le=10.0)] = 10.0
    """Most instances that come at once, as a part of those there are; always at least four."""
    shrink_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    """Most that go at once, as a part of those there are; always at least one."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Rates ahead, requests a second: the highest of the next two minutes at three quantiles, and the median's highest
    of the next five."""

    p50: float
    p95: float
    p99: float
    later_p50: float


class SliceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One slice as of one second. None is not known, or too old to be used."""

    rate: float | None
    """Requests a second, smoothed."""
    features: tuple[float, ...] = ()
    serving: int
    starting: int = 0
    least: int = 1
    most: int = 1_000
    rate_per_instance: float
    """What one instance carries when it is always busy, learnt."""
    latency_p95_ms: float | None = None
    waiting: float = 0.0
    """Requests that wait."""
    forecast: Forecast | None = None
    held: int = 0
    """The highest need of the last `hold_s` seconds."""

    @property
    def current(self) -> int:
        return self.serving + self.starting


class Because(StrEnum):
    NO_METRICS = "no_metrics"
    RULES = "rules"
    LATENCY = "latency"
    FORECAST = "forecast"
    HELD = "held"
    BOUNDS = "bounds"
    STEP = "step"
    ENOUGH = "enough"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`wanted` instances; `need` is what the moment asks for, before holding and limits."""

    wanted: int
    need: int
    because: tuple[Because, ...]
    multiple: float = 1.0
    path: tuple[str, ...] = ()
    """The rules' questions and answers."""
