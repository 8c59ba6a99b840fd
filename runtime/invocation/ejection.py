"""Taking an instance out of the rotation that keeps failing or saying nothing, and letting it back in."""

from __future__ import annotations

from typing import Final

SILENT_S_MIN: Final = 1.0  # a call that waited this long in vain counts as a failure; impatient clients eject nobody
FAILURES_MAX: Final = 3  # in a row; one lost connection already takes its instances out by itself
EJECTED_S_MIN: Final = 1.0
EJECTED_S_MAX: Final = 30.0
EJECTED_SHARE_MAX: Final = 0.5  # of a slice's instances: with more than half gone, trying beats refusing


class Ejection:
    """One instance's record. Times are seconds of one clock that never goes back."""

    __slots__ = ("_failures", "_times", "_until_s")

    def __init__(self) -> None:
        self._failures = 0
        self._times = 0
        self._until_s = 0.0

    def is_out(self, now_s: float) -> bool:
        return now_s < self._until_s

    def succeeded(self) -> None:
        self._failures = self._times = 0

    def failed(self, now_s: float, *, out: int, instances: int) -> bool:
        """Counts a failure. True if the instance is ejected by it; `out` of `instances` are out already."""
        self._failures += 1
        if self._failures < FAILURES_MAX or out + 1 > instances * EJECTED_SHARE_MAX:
            return False
        self._until_s = now_s + min(EJECTED_S_MAX, EJECTED_S_MIN * 2.0**self._times)
        self._times += 1
        self._failures = 0
        return True
