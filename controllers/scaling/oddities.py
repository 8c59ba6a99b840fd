"""What is odd of one second and no trouble yet: figures that cannot be, a clock that jumps. Nothing is decided from it,
and it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controllers.context.snapshot import SliceContext
from controllers.scaling.records import CLOCK, FIGURES, Oddity

AGAIN_S: Final = 600.0  # a slice whose figures flicker is told of once in that time
JUMP_S: Final = 5.0  # beyond it, seconds and minutes are other ones than those that passed


class Oddities:
    """Of the leader, second by second. Bounded by the slices there are."""

    def __init__(self) -> None:
        self._told_at_s: dict[str, float] = {}
        self._offset_s: float | None = None

    def found(self, unix_ms: int, monotonic_s: float, loads: Mapping[str, SliceContext]) -> list[Oddity]:
        """What is to be told now. unix_ms, monotonic_s: the same moment on both clocks."""
        return [*self._jumped(unix_ms, monotonic_s), *self._doubted(unix_ms, monotonic_s, loads.values())]

    def _jumped(self, unix_ms: int, monotonic_s: float) -> Iterator[Oddity]:
        """Ahead, too, where the machine slept."""
        before, self._offset_s = self._offset_s, unix_ms / 1_000 - monotonic_s
        if before is not None and abs(jump_s := self._offset_s - before) > JUMP_S:
            way = "ahead" if jump_s > 0 else "back"
            yield Oddity(kind=CLOCK, why=f"the leader's clock went {way} by {abs(jump_s):.0f} s", at_unix_ms=unix_ms)

    def _doubted(self, unix_ms: int, now_s: float, loads: Iterable[SliceContext]) -> Iterator[Oddity]:
        told = {name: at_s for name, at_s in self._told_at_s.items() if now_s - at_s < AGAIN_S}
        for load in loads:
            if load.doubted and load.slice not in told:
                told[load.slice] = now_s
                yield Oddity(kind=FIGURES, slice=load.slice, why=load.doubted, at_unix_ms=unix_ms)
        self._told_at_s = told
