"""What a slice needed in the last seconds: the highest of them, at the same cost however many they are."""

from __future__ import annotations

from collections import deque


class Needs:
    """A new leader has seen too little to take anything away: until its memory is full, as many are held as there are.

    Kept are only the seconds behind which no higher need came, so that the first of them is the highest (a monotonic
    queue); a tick looks at every slice, and ten minutes of seconds each would be most of what it looks at.
    """

    def __init__(self) -> None:
        self._falling: deque[tuple[int, int]] = deque()
        """(second, need), each need less than the one before it."""
        self._seconds = 0
        """Noted so far; those before the last `_kept` count no more."""
        self._kept = 0

    def held(self, hold_s: int, current: int) -> int:
        highest = self._falling[0][1] if self._falling else 0
        return highest if self._kept >= hold_s else max(current, highest)

    def lately(self, seconds: int, hold_s: int) -> int | None:
        """The highest of the newest so many; None until the memory is full."""
        if self._kept < hold_s:
            return None
        since = self._seconds - seconds
        return next((need for second, need in self._falling if second >= since), 0)

    def note(self, need: int, hold_s: int) -> None:
        while self._falling and self._falling[-1][1] <= need:
            self._falling.pop()
        self._falling.append((self._seconds, need))
        self._seconds += 1
        self._kept = min(self._kept + 1, hold_s)
        while self._falling and self._falling[0][0] < self._seconds - self._kept:
            self._falling.popleft()
