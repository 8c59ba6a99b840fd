"""Which instance a call goes to: a version by weight, then the local one, else the better of two by peak EWMA."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from runtime.invocation.context import CallContext
from runtime.invocation.ejection import Ejection
from runtime.invocation.outcome import Outcome
from runtime.invocation.table import InstanceRow

DECAY_S: Final = 10.0  # a slow answer is half forgotten after about seven seconds
CALLS_MAX: Final = 65_536  # in progress per instance whose contract is not known
LATENCY_S_START: Final = 0.001  # what an instance that was never called is taken to need

Random = Callable[[], float]
"""A number in [0, 1)."""


class Channel(Protocol):
    """A way to instances: a connection to a worker, to another node's gateway, or none for inline ones."""

    @property
    def is_ready(self) -> bool:
        """Connected, and the other side is not leaving."""
        ...

    def start_call(
        self,
        target: str,
        payload: bytes,
        *,
        context: CallContext,
        done: Callable[[Outcome], None],
        instance: int,
        http: bool,
    ) -> Callable[[], None]:
        """Begins a call; gives the function that cancels it."""
        ...


class Backend:
    """One instance as this gateway knows it. Source of the latency estimate: Finagle's peak EWMA."""

    __slots__ = ("at_s", "channel", "ejection", "in_flight", "latency_s", "limit", "local", "row")

    def __init__(self, row: InstanceRow, channel: Channel, *, local: bool, limit: int = CALLS_MAX) -> None:
        self.row = row
        self.channel = channel
        self.local = local
        self.limit = limit  # calls in progress: a stuck instance says no NACK itself
        self.ejection = Ejection()
        self.in_flight = 0
        self.latency_s = LATENCY_S_START
        self.at_s = 0.0

    def moved_to(self, row: InstanceRow, channel: Channel, limit: int) -> None:
        """What a newer table says of it. Its calls in progress go on and are counted here when they end."""
        if channel is not self.channel:  # another process: what is known of the old one does not hold
            self.latency_s, self.ejection = LATENCY_S_START, Ejection()
        self.row, self.channel, self.limit = row, channel, limit

    def takes_calls(self, now_s: float) -> bool:
        return self.in_flight < self.limit and self.channel.is_ready and not self.ejection.is_out(now_s)

    def load(self) -> float:
        return self.latency_s * (self.in_flight + 1)

    def answered(self, took_s: float, now_s: float) -> None:
        """It answered, whatever it said."""
        self.took(took_s, now_s)
        self.ejection.succeeded()

    def took(self, took_s: float, now_s: float) -> None:
        """A peak counts at once; what is better counts slowly, so that a stall is not forgotten by one quick answer."""
        if took_s >= self.latency_s:
            self.latency_s = took_s
        else:
            keep = math.exp((self.at_s - now_s) / DECAY_S)
            self.latency_s = self.latency_s * keep + took_s * (1.0 - keep)
        self.at_s = now_s


def choose(
    backends: Sequence[Backend],
    *,
    now_s: float,
    random: Random,
    tried: Collection[Backend] = (),
    versions: Collection[str] | None = None,
) -> Backend | None:
    """None when nobody who was not tried takes calls."""
    if len(backends) == 1 and not tried:  # the same as below, at a third of its cost
        only = backends[0]
        listed = only.row.weight > 0 and (versions is None or only.row.version in versions)
        return only if listed and only.takes_calls(now_s) else None
    fit = [
        backend
        for backend in backends
        if backend.takes_calls(now_s)
        and backend not in tried
        and (versions is None or backend.row.version in versions)
        and backend.row.weight > 0
    ]
    if len(fit) <= 1:
        return fit[0] if fit else None
    fit = _of_one_version(fit, random)
    local = [backend for backend in fit if backend.local]
    return _better_of_two(local or fit, random)


def _of_one_version(fit: list[Backend], random: Random) -> list[Backend]:
    """Versions share by weight, whatever their instances' number."""
    first = fit[0].row.version
    if all(backend.row.version == first for backend in fit):
        return fit
    weights = {backend.row.version: backend.row.weight for backend in fit}
    point = random() * sum(weights.values())
    for version, weight in weights.items():
        point -= weight
        if point < 0:
            return [backend for backend in fit if backend.row.version == version]
    return fit


def _better_of_two(fit: list[Backend], random: Random) -> Backend:
    count = len(fit)
    if count == 1:
        return fit[0]
    first = int(random() * count)
    second = (first + 1 + int(random() * (count - 1))) % count
    one, other = fit[first], fit[second]
    return one if one.load() <= other.load() else other
