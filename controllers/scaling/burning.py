"""Errors and calls of each slice over hours and days, from the history of minutes: what slow burns are seen by."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

import anyio

from controllers.context.errors import HistoryAway
from controllers.context.history_file import Span
from runtime.clock import Clock
from runtime.telemetry.windows import Ring, known

STEP_MINUTES: Final = 10
STEP_S: Final = STEP_MINUTES * 60
WINDOWS: Final = {"slo_burn_6h": 6 * 6, "slo_burn_3d": 3 * 24 * 6}
"""How many steps each goes back."""
STEPS: Final = max(WINDOWS.values())  # 3 rings x 432 x 4 bytes = 5 kB a slice
LOOK_S: Final = 60.0
NEWEST: Final = 2  # steps that are read each minute: the one under way, and the one that has just ended
AGAIN_LOOKS: Final = 60  # an hour: what other nodes' histories have filled meanwhile
COLUMNS: Final = ("invocations", "error_rate")


class Minutes(Protocol):
    """The history of minutes. Raises HistoryAway."""

    async def load(self, spans: Sequence[Span]) -> list[array[float]]: ...


class SlowBurns:
    """`run` is a leader service. A leader that begins reads three days, and from then on what is new each minute."""

    def __init__(self, *, history: Minutes, slices: Callable[[], Iterable[str]], clock: Clock) -> None:
        self._history = history
        self._slices = slices
        self._clock = clock
        self._sums: dict[str, Sums] = {}

    async def run(self, _fence: object) -> None:
        self._sums.clear()
        looks = 0
        while True:
            await self.look(anew=looks % AGAIN_LOOKS == 0)
            looks += 1
            await anyio.sleep(LOOK_S)

    async def look(self, *, anew: bool = False) -> None:
        """anew: all of it for every slice; else only what is new, and all of slices that are. A history that is away
        leaves what was known."""
        names = set(self._slices())
        self._sums = {name: sums for name, sums in self._sums.items() if name in names}
        whole = names if anew else names - self._sums.keys()
        try:
            await self._read(sorted(names - whole), NEWEST)
            for name in sorted(whole):  # one after the other: what the minute has to be written for waits for no other
                await self._read([name], STEPS)
        except HistoryAway:
            return

    async def _read(self, names: Sequence[str], steps: int) -> None:
        last = self._step()
        first = (last - steps + 1) * STEP_MINUTES
        found = await self._history.load(
            [Span(name, first, steps * STEP_MINUTES, column) for name in names for column in COLUMNS]
        )
        for at, name in enumerate(names):
            sums = self._sums.setdefault(name, Sums())
            sums.put(last - steps + 1, calls=found[2 * at], error_rates=found[2 * at + 1])

    def _step(self) -> int:
        return self._clock.unix_ms() // 1_000 // STEP_S

    def errors_share(self, slice_name: str, metric: str) -> float | None:
        """Of the calls of that time, 0 to 1, as if none had failed in minutes of which nothing is known: what is new
        has used up little of its budget yet, however much of it fails. None without calls."""
        sums = self._sums.get(slice_name)
        return sums.share(WINDOWS[metric], self._step()) if sums is not None else None


class Sums:
    """One slice's calls, errors and known minutes by step."""

    def __init__(self) -> None:
        self._calls, self._errors, self._minutes = (Ring(STEP_S, STEPS) for _ in range(3))

    def put(self, first: int, *, calls: array[float], error_rates: array[float]) -> None:
        """Minutes from the step `first` on; steps that are known already are replaced."""
        for number, (of_calls, rates) in enumerate(zip(_steps(calls), _steps(error_rates), strict=True)):
            at_s = (first + number) * STEP_S
            there = known(of_calls)
            self._minutes.put(at_s, float(len(there)))
            self._calls.put(at_s, sum(there))
            pairs = zip(of_calls, rates, strict=True)
            self._errors.put(at_s, sum(count * rate for count, rate in pairs if not math.isnan(count * rate)))

    def share(self, steps: int, until: int) -> float | None:
        calls, errors, minutes = (
            sum(known(ring.newest(steps, until=until))) for ring in (self._calls, self._errors, self._minutes)
        )
        return errors / calls * min(1.0, minutes / (steps * STEP_MINUTES)) if calls > 0 else None


def _steps(minutes: Sequence[float]) -> Iterator[Sequence[float]]:
    return (minutes[at : at + STEP_MINUTES] for at in range(0, len(minutes), STEP_MINUTES))
