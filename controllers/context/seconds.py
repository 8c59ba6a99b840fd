"""Which seconds can be believed: clocks that jump, figures that cannot be."""

from __future__ import annotations

from typing import Final

GAP_S_MAX: Final = 5  # counts of one look cover as much when looks were late; a longer gap is a jump, or a restart
PEAK_FACTOR: Final = 50.0
PEAK_CALLS: Final = 200.0  # a second: below it a peak costs at most a few instances, and is believed
PEAK_S: Final = 3  # a crowd that comes at once is still there after this; a wrong figure is not
LEVEL_KEEP: Final = 0.998  # a second: the level of calls is the highest of about the last ten minutes


class Elapsed:
    """Seconds from each look to the next, by a clock that may jump."""

    def __init__(self) -> None:
        self._at_s: int | None = None

    def take(self, at_s: int) -> int:
        """How many seconds the counts since the look before are of: 1 after a jump, as counters do not jump."""
        before, self._at_s = self._at_s, at_s
        if before is None:
            return 1
        step = at_s - before
        return step if 0 < step <= GAP_S_MAX else 1


class Plausible:
    """One slice's calls, second by second: a figure far beyond all of the last minutes is believed once it stays."""

    __slots__ = ("_peak_s", "level")

    def __init__(self) -> None:
        self.level = 0.0
        """Calls a second, the highest of about the last ten minutes."""
        self._peak_s = 0

    def believes(self, calls: float, covers_s: int) -> bool:
        """calls: of the last `covers_s` seconds together."""
        rate = calls / covers_s
        if rate > max(PEAK_CALLS, PEAK_FACTOR * self.level) and self._peak_s < PEAK_S:
            self._peak_s += covers_s
            return False
        self._peak_s = 0
        self.level = max(rate, self.level * LEVEL_KEEP**covers_s)
        return True
