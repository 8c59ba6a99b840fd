"""The simulated service: what an instance carries, and how slow it becomes when it is busy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from evals.scaling.conditions import Conditions

SATURATED: Final = 0.999
SATURATED_WAIT_S: Final = 2.0
BACKLOG_S_MAX: Final = 10.0  # of work that waits; what comes on top is turned away


@dataclass(frozen=True, kw_only=True)
class ServiceModel:
    """`workers` of an instance each take `mean_s` for a request; `p95_s` is the 95th percentile without load, `slo_s`
    what it may be. Waiting follows Sakasegawa's approximation for a queue with several servers (1977)."""

    workers: int = 10
    mean_s: float = 0.1
    p95_s: float = 0.3
    slo_s: float = 0.5
    instances_max: int = 600
    conditions: Conditions = field(default_factory=Conditions)

    @cached_property
    def rate_per_instance(self) -> float:
        """Requests a second that one instance does when it is always busy."""
        return self.workers / self.mean_s

    def latency_p95_s(self, utilisation: float, backlog: float, rate: float) -> float:
        """utilisation: 0 to 1 of the serving instances; backlog: requests that wait; rate: what they do a second."""
        return self.p95_s + self.wait_p95_s(utilisation) + backlog / max(rate, 1.0)

    def wait_p95_s(self, utilisation: float) -> float:
        if utilisation >= SATURATED:
            return SATURATED_WAIT_S
        if utilisation <= 0.0:
            return 0.0
        waits = utilisation ** (math.sqrt(2.0 * (self.workers + 1)) - 1.0)
        if waits * 20.0 <= 1.0:
            return 0.0
        return math.log(20.0 * waits) / (self.rate_per_instance * (1.0 - utilisation))

    @cached_property
    def utilisation_max(self) -> float:
        """The highest utilisation at which the SLO still holds."""
        low, high = 0.0, SATURATED
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p95_s + self.wait_p95_s(middle) <= self.slo_s else (low, middle)
        return low

    def needed(self, rate: float) -> int:
        """Fewest instances that hold the SLO at that rate of requests."""
        return max(1, math.ceil(rate / (self.rate_per_instance * self.utilisation_max) - 1e-9))
