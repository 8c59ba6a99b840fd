"""Changes on their way through the log, and who waits for them. No task, future or timer for each: most take under a
millisecond, and a leader has thousands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runtime.consensus import commands as c
from runtime.consensus import errors as e

PROPOSE_S: Final = 2.0

Outcome = c.Result | e.StoreFault
Told = Callable[[Outcome], None]


class Proposals:
    """Each is told once: its result, that this member does not lead (any more), or that its time is over."""

    def __init__(self, *, clock: Callable[[], float], leader: Callable[[], str], took: Callable[[int], None]) -> None:
        """`took` is given how long a change needed, in microseconds."""
        self._clock = clock
        self._leader = leader
        self._took = took
        self._waiting: dict[int, tuple[float, Told]] = {}  # oldest first
        self._next = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, told: Told) -> Callable[[c.Result | None], None]:
        """Whom the member has to tell. `told` must not raise: it is called while the log is applied."""
        self._next += 1
        number, began_s = self._next, self._clock()
        self._waiting[number] = (began_s, told)

        def done(result: c.Result | None) -> None:
            if self._waiting.pop(number, None) is None:
                return  # told already that its time was over
            if result is None:
                told(e.NotLeader(self._leader()))
            else:
                self._took(int((self._clock() - began_s) * 1e6))
                told(result)

        return done

    def expire(self) -> None:
        """To be called with every tick."""
        limit_s = self._clock() - PROPOSE_S
        while self._waiting:
            number, (began_s, told) = next(iter(self._waiting.items()))
            if began_s > limit_s:
                return
            del self._waiting[number]
            told(e.NoQuorum("no majority confirmed the change in time; it may yet be applied"))

    def fail(self) -> None:
        """This member no longer leads: what has not been told by the member itself is told so here."""
        waiting, self._waiting = self._waiting, {}
        for _, told in waiting.values():
            told(e.NotLeader(self._leader()))
