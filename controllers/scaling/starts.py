"""How long instances of a slice take to start, learnt from how many serve and how many are on their way: pure."""

from __future__ import annotations

from collections import deque
from typing import Final

NEWEST_SHARE: Final = 0.1  # of the estimate: what started some twenty starts ago hardly counts any more


class StartDelay:
    """Fed once a second, for one slice. Who becomes ready is taken to be the one that began first, and who is taken
    back the one that began last: of the mean that changes little. Constant time a start, at most as many as start."""

    def __init__(self) -> None:
        self._begun: deque[float] = deque()  # when each that is on its way began, the oldest first
        self._serving: int | None = None
        self._now_s = 0.0
        self._learnt_s: float | None = None

    def take(self, now_s: float, *, serving: int, starting: int) -> None:
        """now_s: of a clock that only goes forward. Who came and served within a second took no time."""
        self._now_s = now_s
        came = serving - self._serving if self._serving is not None else 0
        for _ in range(came):
            self._learn(now_s - self._begun.popleft() if self._begun else 0.0)
        self._serving = serving
        while len(self._begun) > starting:
            self._begun.pop()
        self._begun.extend([now_s] * (starting - len(self._begun)))

    def _learn(self, took_s: float) -> None:
        before = self._learnt_s if self._learnt_s is not None else took_s
        self._learnt_s = before + NEWEST_SHARE * (took_s - before)

    @property
    def mean_s(self) -> float | None:
        """None before any start was seen. While the first is on its way, as long as that takes already."""
        if self._learnt_s is not None or not self._begun:
            return self._learnt_s
        return self._now_s - self._begun[0]
