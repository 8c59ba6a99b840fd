"""A network that delays, reorders, repeats, loses and cuts, between the engines of one simulated cluster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

Deliver = Callable[[str, str, bytes], None]
"""(from, to, message)."""


@dataclass(slots=True)
class Weather:
    """`lost` and `repeated` are shares of messages; delays are seconds."""

    least: float = 0.0005
    most: float = 0.01
    lost: float = 0.0
    repeated: float = 0.0
    reorders: bool = False


class Network:
    """Links between nodes by name; each direction can be cut by itself."""

    def __init__(self, rng: random.Random, deliver: Deliver) -> None:
        self._rng = rng
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._arrives_s: dict[tuple[str, str], float] = {}
        self.cut: set[tuple[str, str]] = set()
        self.weather = Weather()
        self.late: dict[tuple[str, str], float] = {}  # what a direction takes on top of the weather, in seconds
        self.messages = 0

    def send(self, source: str, target: str, message: bytes) -> None:
        """Whether it arrives is for the receiver to find out."""
        self.messages += 1
        weather = self.weather
        copies = 1 + (self._rng.random() < weather.repeated)
        for _ in range(copies):
            if self._rng.random() < weather.lost:
                continue
            at_s = self._loop.time() + self._rng.uniform(weather.least, weather.most)
            at_s += self.late.get((source, target), 0.0)
            if not weather.reorders:
                at_s = max(at_s, self._arrives_s.get((source, target), 0.0))
                self._arrives_s[source, target] = at_s
            self._loop.call_at(at_s, self._arrive, source, target, message)

    def is_cut(self, one: str, other: str) -> bool:
        """A connection needs both directions."""
        return (one, other) in self.cut or (other, one) in self.cut

    def partition(self, one: set[str], other: set[str]) -> None:
        self.cut |= {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}

    def heal(self) -> None:
        self.cut.clear()
        self.late.clear()
        self.weather = Weather()

    def _arrive(self, source: str, target: str, message: bytes) -> None:
        if (source, target) not in self.cut:
            self._deliver(source, target, message)
