"""An asyncio loop whose time is simulated: when nothing is left to do at this moment, the next timer's moment comes.

Real engines run on it unchanged, an hour in seconds, and the same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
START_S: Final = 1_000.0
STEPS_STILL_MAX: Final = 50_000  # a busy moment takes some hundreds


class TimeStandsStill(AssertionError):
    """Work is always left to do at one moment: in real time a process would spin."""


class _NoSelector(selectors.BaseSelector):
    """There are no sockets; waiting is what makes time pass."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        self._passes = passes

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for something that nobody will do")
        self._passes(timeout)
        return []

    def get_map(self) -> Any:
        return {}


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now_s = START_S
        self._still = 0  # steps since time last went on
        super().__init__(_NoSelector(self._pass))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._now_s

    def _pass(self, seconds: float) -> None:
        self._now_s += max(0.0, seconds)
        self._still = 0 if seconds > 0 else self._still + 1
        if self._still > STEPS_STILL_MAX:
            raise TimeStandsStill(f"{STEPS_STILL_MAX} steps at {self._now_s - START_S:.4f} s: something spins")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end in simulated time."""
    loop = SimulatedLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
