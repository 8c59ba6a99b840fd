"""How a slice is in one second, and what of that a policy gets to see: late, with noise and gaps, as conditions say."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from evals.scaling.conditions import Conditions
from evals.scaling.policy import Seen


@dataclass(slots=True)
class Moment:
    """The truth of one second; members as those of Seen, `utilisation` and `concurrency` of this second alone."""

    at_s: int
    serving: int
    starting: int
    arrived: float
    rate: float
    backlog: float
    latency_p95_s: float
    utilisation: float
    concurrency: float
    room: int | None


class Measured:
    """Stands between a world and its policy. How many instances there are is always known: that is desired state."""

    def __init__(self, conditions: Conditions, *, count: int, seed: int) -> None:
        self._conditions = conditions
        self._chance = np.random.default_rng([seed, 3])
        self._late: deque[Moment] = deque(maxlen=conditions.metric_delay_s + 1)
        self._told: Moment | None = None
        self._is_exact = not (conditions.metric_delay_s or conditions.metric_noise or conditions.metric_gap)
        self._utilisation, self._concurrency = np.zeros(count), np.zeros(count)

    def seen(self, now: Moment) -> Seen:
        told = now if self._is_exact else self._measure(now)
        self._utilisation[now.at_s] = told.utilisation
        self._concurrency[now.at_s] = told.concurrency
        return Seen(
            at_s=now.at_s,
            serving=now.serving,
            starting=now.starting,
            arrived=told.arrived,
            rate=told.rate,
            backlog=told.backlog,
            latency_p95_s=told.latency_p95_s,
            utilisation=self._utilisation,
            concurrency=self._concurrency,
            room=now.room,
        )

    def _measure(self, now: Moment) -> Moment:
        """Where nothing comes, what was told last stays."""
        self._late.append(now)
        if self._told is None or self._chance.random() >= self._conditions.metric_gap:
            self._told = self._noisy(self._late[0])
        return self._told

    def _noisy(self, moment: Moment) -> Moment:
        if not self._conditions.metric_noise:
            return moment
        factor = max(0.0, self._chance.normal(1.0, self._conditions.metric_noise))
        return replace(
            moment,
            arrived=moment.arrived * factor,
            rate=moment.rate * factor,
            latency_p95_s=moment.latency_p95_s * factor,
            utilisation=min(1.0, moment.utilisation * factor),
            concurrency=moment.concurrency * factor,
        )
