"""One run: a trace's arrivals meet a service that a policy scales, second by second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from evals.scaling.arrivals import MINUTE_S, Generator, arrivals, scaled
from evals.scaling.policy import MakePolicy, Past, Seen
from evals.scaling.service import BACKLOG_S_MAX, ServiceModel
from evals.scaling.traces import Floats, Trace

SMOOTH_TAU_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened in each second of a run. `judged_from` is the second at which judging begins: the first day is
    there to learn from."""

    arrivals: Floats
    smoothed: Floats
    serving: Floats
    existing: Floats
    latency_p95_s: Floats
    turned_away: float
    judged_from: int
    needed: Floats
    """Fewest instances that would have held the SLO throughout that minute, known in hindsight."""


def run(trace: Trace, service: ServiceModel, make: MakePolicy, generator: Generator, seed: int) -> History:
    """The same arguments give the same history."""
    incoming = arrivals(trace, service, generator, seed)
    smoothed = smooth(incoming)
    needed = oracle(smoothed, service)
    past = Past(service=service, minutes=scaled(trace, service), season=trace.season, seconds=smoothed)
    world = _World(service, first=int(needed[0]), count=len(incoming), seed=seed)
    policy = make(past)
    serving, existing, latency = (np.empty(len(incoming)) for _ in range(3))
    for at, (arriving, rate) in enumerate(zip(incoming.tolist(), smoothed.tolist(), strict=True)):
        seen = world.second(at, arriving, rate)
        serving[at], existing[at], latency[at] = seen.serving, seen.current, seen.latency_p95_s
        world.scale(at, policy.wanted(seen))
    return History(
        arrivals=incoming,
        smoothed=smoothed,
        serving=serving,
        existing=existing,
        latency_p95_s=latency,
        turned_away=world.turned_away,
        judged_from=trace.season * MINUTE_S,
        needed=needed,
    )


def smooth(values: Floats) -> Floats:
    """An exponential average over SMOOTH_TAU_S, begun at the mean of the first half minute."""
    share = 1.0 - math.exp(-1.0 / SMOOTH_TAU_S)
    found = np.empty_like(values)
    level = float(values[:30].mean())
    for at, value in enumerate(values.tolist()):
        level += share * (value - level)
        found[at] = level
    return found


def oracle(smoothed: Floats, service: ServiceModel) -> Floats:
    """Instances that hold the SLO in each minute, with perfect knowledge and started in time."""
    worst = smoothed.reshape(-1, MINUTE_S).max(axis=1)
    return np.repeat([float(service.needed(rate)) for rate in worst], MINUTE_S)


class _World:
    """The service: instances that serve and that start, and the work that waits."""

    def __init__(self, service: ServiceModel, *, first: int, count: int, seed: int) -> None:
        self._service = service
        self._serving = first
        self._arriving: dict[int, int] = {}  # second: instances that begin to serve then
        self._starting = 0
        self._backlog = 0.0
        self._utilisation, self._concurrency = np.zeros(count), np.zeros(count)
        self._chance = np.random.default_rng([seed, 1])
        self.turned_away = 0.0

    def second(self, at: int, arriving: float, rate: float) -> Seen:
        """Lets one second pass."""
        ready = self._arriving.pop(at, 0)
        self._serving += ready
        self._starting -= ready
        service = self._service
        capacity = self._serving * service.rate_per_instance
        waiting = self._backlog + arriving
        done = min(waiting, capacity)
        self._backlog = min(waiting - done, BACKLOG_S_MAX * capacity)
        self.turned_away += waiting - done - self._backlog
        self._utilisation[at] = done / capacity if capacity else 1.0
        most = BACKLOG_S_MAX * service.workers * self._serving
        self._concurrency[at] = done * service.mean_s + min(self._backlog, most)
        return Seen(
            at_s=at,
            serving=self._serving,
            starting=self._starting,
            arrived=arriving,
            rate=rate,
            backlog=self._backlog,
            latency_p95_s=service.latency_p95_s(min(1.0, rate / capacity), self._backlog, capacity),
            utilisation=self._utilisation,
            concurrency=self._concurrency,
        )

    def scale(self, at: int, wanted: int) -> None:
        """New instances take a while; those to go are first the ones that do not serve yet."""
        wanted = max(1, min(wanted, self._service.instances_max))
        change = wanted - self._serving - self._starting
        for _ in range(change):
            delay = self._chance.uniform(self._service.start_s_min, self._service.start_s_max)
            second = at + max(1, int(delay))
            self._arriving[second] = self._arriving.get(second, 0) + 1
            self._starting += 1
        if change < 0:
            self._serving -= self._cancel(-change)

    def _cancel(self, count: int) -> int:
        """Takes back starts, the latest first; how many more must go."""
        for second in sorted(self._arriving, reverse=True):
            taken = min(count, self._arriving[second])
            self._arriving[second] -= taken
            if not self._arriving[second]:
                del self._arriving[second]
            self._starting -= taken
            count -= taken
            if not count:
                break
        return count
