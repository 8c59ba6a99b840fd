"""A process watching itself: how late its loop runs, and how long garbage collection stops it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

from runtime.telemetry.recorder import Vitals

LOOK_S: Final = 0.1
PERIOD_LOOKS: Final = 10  # the worst of a second is what is reported


class GcWatch:
    """The longest pause since it was last asked."""

    def __init__(self) -> None:
        self._began_ns = 0
        self._worst_ns = 0
        gc.callbacks.append(self._seen)

    def take_ms(self) -> float:
        worst, self._worst_ns = self._worst_ns, 0
        return worst / 1e6

    def close(self) -> None:
        gc.callbacks.remove(self._seen)

    def _seen(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
        else:
            self._worst_ns = max(self._worst_ns, time.perf_counter_ns() - self._began_ns)


async def watch_vitals(vitals: Vitals, *, each_second: Callable[[], None] = lambda: None) -> None:
    """Keeps `vitals` current; never returns. Costs ten wake-ups a second."""
    loop, pauses = asyncio.get_running_loop(), GcWatch()
    try:
        while True:
            worst_s = 0.0
            for _ in range(PERIOD_LOOKS):
                due_s = loop.time() + LOOK_S
                await asyncio.sleep(LOOK_S)
                worst_s = max(worst_s, loop.time() - due_s)
            vitals.loop_lag_ms, vitals.gc_pause_ms = worst_s * 1_000, pauses.take_ms()
            each_second()
    finally:
        pauses.close()
