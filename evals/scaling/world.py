"""The simulated service: instances that serve, start and fail on nodes that may be full, and the work that waits."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from evals.scaling.conditions import START_S_MAX, Conditions
from evals.scaling.measured import Moment
from evals.scaling.service import BACKLOG_S_MAX, ServiceModel
from evals.scaling.traces import Floats

Z95: Final = 1.6449
UNMET_S: Final = 16  # the slowest of the compared policies ask every 15 seconds
CARRIES_LEAST: Final = 0.3  # of the mean, however much instances differ


class Nodes:
    """Where instances fit: shared by all slices of a run. A node that fails takes what is on it, in proportion."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self._conditions = conditions
        self._chance = np.random.default_rng([seed, 2])
        self._up = conditions.nodes
        self._back: list[int] = []
        self._taken = 0

    @property
    def free(self) -> int | None:
        """Instances that still fit; None is without limit."""
        return max(0, self._up * self._conditions.instances_per_node - self._taken) if self._conditions.nodes else None

    @property
    def up(self) -> int:
        return self._up

    @property
    def down(self) -> int:
        """Those that failed and are not back."""
        return len(self._back)

    def add(self, count: int) -> None:
        """So many more, or fewer: what is on those that go has room on the others."""
        self._up += count

    def take(self, count: int) -> int:
        """How many of them fit, which are taken."""
        found = count if self.free is None else min(count, self.free)
        self._taken += found
        return found

    def give(self, count: int) -> None:
        self._taken -= count

    def second(self, at: int) -> float:
        """The part of all instances that fails in this second with its node."""
        while self._back and self._back[0] <= at:
            self._back.pop(0)
            self._up += 1
        mean_s = self._conditions.node_fails_each_s
        if not mean_s or self._up < 2 or self._chance.random() >= self._up / self._conditions.nodes / mean_s:
            return 0.0
        self._back.append(at + self._conditions.node_back_s)
        self._up -= 1
        return 1.0 / (self._up + 1)


class World:
    """One slice: `second` says how it is, `scale` is what a policy does."""

    def __init__(self, service: ServiceModel, nodes: Nodes, *, first: int, count: int, seed: int) -> None:
        self._service, self._nodes, self._conditions = service, nodes, service.conditions
        self._chance = np.random.default_rng([seed, 1])
        self._rates = [self._rate() for _ in range(max(1, nodes.take(first)))]
        self._capacity = sum(self._rates)
        self._arriving: dict[int, int] = {}  # second: instances that begin to serve then
        self._starting = 0
        self._backlog = 0.0
        self.turned_away: Floats = np.zeros(count)
        self._unmet, self._unmet_at = 0, -UNMET_S

    def second(self, at: int, arriving: float, rate: float, lost: float = 0.0) -> Moment:
        """Lets one second pass. lost: the part of the instances whose node fails."""
        self._fail(lost)
        ready = self._arriving.pop(at, 0)
        if ready:
            self._starting -= ready
            self._serve(ready)
        service, capacity, serving = self._service, self._capacity, len(self._rates)
        waiting = self._backlog + arriving
        done = min(waiting, capacity)
        self._backlog = min(waiting - done, BACKLOG_S_MAX * capacity)
        self.turned_away[at] = waiting - done - self._backlog
        most = BACKLOG_S_MAX * service.workers * serving
        return Moment(
            at_s=at,
            serving=serving,
            starting=self._starting,
            arrived=arriving,
            rate=rate,
            backlog=self._backlog,
            latency_p95_s=service.latency_p95_s(
                min(1.0, rate / capacity) if capacity else 1.0, self._backlog, capacity
            ),
            utilisation=done / capacity if capacity else 1.0,
            concurrency=done * service.mean_s + min(self._backlog, most),
            room=self._nodes.free,
        )

    def scale(self, at: int, wanted: int) -> None:
        """New instances take a while; those to go are first the ones that do not serve yet."""
        wanted = max(1, min(wanted, self._service.instances_max))
        change = wanted - len(self._rates) - self._starting
        if change > 0:
            taken = self._nodes.take(change)
            if taken < change:
                self._unmet, self._unmet_at = change - taken, at
            for _ in range(taken):
                second = at + max(1, int(self._start_s()))
                self._arriving[second] = self._arriving.get(second, 0) + 1
                self._starting += 1
        elif change < 0:
            self._nodes.give(-change)
            self._stop(self._cancel(-change))

    def unmet(self, at: int) -> int:
        """Instances that were asked for and found no room: they wait until their policy has decided again."""
        return self._unmet if at - self._unmet_at < UNMET_S else 0

    def _start_s(self) -> float:
        low, high = self._conditions.start_s
        if self._conditions.start == "uniform":
            return self._chance.uniform(low, high)
        return min(START_S_MAX, self._chance.lognormal(math.log(low), math.log(high / low) / Z95))

    def _rate(self) -> float:
        """What an instance that starts now carries."""
        mean, spread = self._service.rate_per_instance, self._conditions.capacity_spread
        return mean * max(CARRIES_LEAST, self._chance.normal(1.0, spread)) if spread else mean

    def _serve(self, count: int) -> None:
        self._rates += [self._rate() for _ in range(count)]
        self._capacity = sum(self._rates)

    def _stop(self, count: int) -> None:
        if count:
            del self._rates[len(self._rates) - count :]
            self._capacity = sum(self._rates)

    def _fail(self, lost: float) -> None:
        mean_s = self._conditions.instance_fails_each_s
        gone = math.ceil(lost * len(self._rates)) if lost else 0
        if mean_s and self._rates and self._chance.random() < len(self._rates) / mean_s:
            gone = max(gone, 1)
        if gone:
            self._nodes.give(gone)
            self._stop(gone)

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
