"""How much load at which time: profiles as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from evals.forge.errors import ForgeFault

RPS_MAX: Final = 50_000.0  # beyond what one generator process on one core can send on time


class ProfileInvalid(ForgeFault):
    code = "profile_invalid"
    remedy = "Use constant, ramp or spike, with 0 < rps <= 50000."


class Shape(Protocol):
    def rate(self, at_s: float) -> float:
        """Requests per second, `at_s` seconds after the start; above zero."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Requests per second over time; every shape stays between `floor_rps` and `rps`.

    constant: `rps` always. ramp: from `floor_rps` to `rps` within `period_s`, then on. spike: `floor_rps`, and `rps`
    during the last tenth of every `period_s`.
    """

    shape: str = "constant"
    rps: float = 100.0
    floor_rps: float = 1.0
    period_s: float = 30.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ProfileInvalid(f"no load profile is called {self.shape!r}")
        numbers = (self.rps, self.floor_rps, self.period_s)
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise ProfileInvalid("rps, floor_rps and period_s are above zero")
        if self.rps > RPS_MAX or self.floor_rps > self.rps:
            raise ProfileInvalid(f"floor_rps <= rps <= {RPS_MAX:g}")

    def rate(self, at_s: float) -> float:
        """Requests per second, `at_s` seconds after the start."""
        if self.shape == "ramp":
            share = min(1.0, at_s / self.period_s)
            return self.floor_rps + (self.rps - self.floor_rps) * share
        if self.shape == "spike":
            return self.rps if at_s % self.period_s >= 0.9 * self.period_s else self.floor_rps
        return self.rps


SHAPES: Final = ("constant", "ramp", "spike")
