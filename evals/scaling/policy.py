"""What a policy sees of the simulated service, and what it answers: the same for ours and for everybody's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from evals.scaling.service import ServiceModel
from evals.scaling.traces import Floats


@dataclass(slots=True)
class Seen:
    """The service as of one second. Histories are the runs' own arrays: a policy reads them up to `at_s`, never
    beyond, and knows of delays in what it measures by itself."""

    at_s: int
    serving: int
    starting: int
    arrived: float
    """Requests that came in this second."""
    rate: float
    """Requests a second, smoothed over ten seconds."""
    backlog: float
    latency_p95_s: float
    utilisation: Floats
    """Of the serving instances in each second so far, 0 to 1."""
    concurrency: Floats
    """Requests in progress or waiting in each second so far."""
    room: int | None = None
    """Instances that still fit on the nodes; None is without limit."""

    @property
    def current(self) -> int:
        """Instances that exist or are on their way."""
        return self.serving + self.starting


class Policy(Protocol):
    """Has the state of one run; a run makes its own."""

    def wanted(self, seen: Seen) -> int:
        """Instances that there should be now, called once a second; `seen.current` changes nothing."""
        ...


@runtime_checkable
class SeesRoom(Protocol):
    """A policy that asks for no more than fits, and tells what it would have asked for."""

    @property
    def without_room(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a policy may know before a run begins. `minutes` are the trace's rates so far and beyond: only perfect
    policies look beyond."""

    service: ServiceModel
    minutes: Floats
    season: int
    seconds: Floats
    """Smoothed arrivals of every second: what the oracle knows."""
    band: Floats | None = None
    """[minutes, 2]: where who forecasts notes its 5th and 95th percentile of each minute, requests a second."""


MakePolicy = Callable[[Past], Policy]
