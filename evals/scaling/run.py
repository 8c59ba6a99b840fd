"""One run: the arrivals of traces meet services that a policy each scales, second by second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evals.scaling.arrivals import MINUTE_S, Generator, arrivals, scaled
from evals.scaling.measured import Measured
from evals.scaling.node_level import NodeLevel
from evals.scaling.policy import MakePolicy, Past, SeesRoom
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Floats, Trace
from evals.scaling.world import Nodes, World

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
    turned_away: Floats
    judged_from: int
    needed: Floats
    """Fewest instances that would have held the SLO throughout that minute, known in hindsight."""
    band: Floats | None = None
    """[minutes, 2]: what the policy forecast of each minute, as Past has it; NaN where it said nothing."""


def run(trace: Trace, service: ServiceModel, make: MakePolicy, generator: Generator, seed: int) -> History:
    """One slice alone. The same arguments give the same history."""
    return run_shared([trace], service, make, generator, seed)[0]


def run_shared(
    traces: Sequence[Trace], service: ServiceModel, make: MakePolicy, generator: Generator, seed: int
) -> list[History]:
    """Slices that share nodes, a policy each, as long as the shortest trace. Whoever comes first in a second takes what
    still fits; the order turns with the seconds."""
    nodes = Nodes(service.conditions, seed)
    count = min(len(trace.load) for trace in traces) * MINUTE_S
    slices = [_Slice(trace, service, nodes, make, generator, seed + at, count) for at, trace in enumerate(traces)]
    level = NodeLevel(service.conditions, nodes) if service.conditions.nodes_most else None
    for at in range(count):
        lost = nodes.second(at)
        first = at % len(slices)
        for each in (*slices[first:], *slices[:first]) if first else slices:
            each.second(at, lost)
        if level is not None:
            wanted = sum(int(each.existing(at)) for each in slices)
            level.second(at, wanted=wanted, without_room=sum(each.without_room(at) for each in slices))
    return [each.history() for each in slices]


class _Slice:
    """A trace, its service and the policy that scales it."""

    def __init__(
        self,
        trace: Trace,
        service: ServiceModel,
        nodes: Nodes,
        make: MakePolicy,
        generator: Generator,
        seed: int,
        count: int,
    ) -> None:
        incoming = arrivals(trace, service, generator, seed)[:count]
        self._incoming, self._smoothed = incoming, smooth(incoming)
        self._needed = oracle(self._smoothed, service)
        self._judged_from = trace.season * MINUTE_S
        self._world = World(service, nodes, first=int(self._needed[0]), count=count, seed=seed)
        self._measured = Measured(service.conditions, count=count, seed=seed)
        self._band = np.full((count // MINUTE_S, 2), np.nan)
        past = Past(
            service=service,
            minutes=scaled(trace, service),
            season=trace.season,
            seconds=self._smoothed,
            band=self._band,
        )
        self._policy = make(past)
        self._sees_room = self._policy if isinstance(self._policy, SeesRoom) else None
        self._serving, self._existing, self._latency = (np.empty(count) for _ in range(3))
        self._rates = (incoming.tolist(), self._smoothed.tolist())

    def second(self, at: int, lost: float) -> None:
        now = self._world.second(at, self._rates[0][at], self._rates[1][at], lost)
        self._serving[at], self._existing[at] = now.serving, now.serving + now.starting
        self._latency[at] = now.latency_p95_s
        self._world.scale(at, self._policy.wanted(self._measured.seen(now)))

    def existing(self, at: int) -> float:
        return float(self._existing[at])

    def without_room(self, at: int) -> int:
        """Instances that its policy would have now, were there room."""
        return self._world.unmet(at) + (self._sees_room.without_room if self._sees_room is not None else 0)

    def history(self) -> History:
        return History(
            arrivals=self._incoming,
            smoothed=self._smoothed,
            serving=self._serving,
            existing=self._existing,
            latency_p95_s=self._latency,
            turned_away=self._world.turned_away,
            judged_from=self._judged_from,
            needed=self._needed,
            band=self._band if np.isfinite(self._band).any() else None,
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
