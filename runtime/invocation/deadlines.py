"""When calls end that nobody answered: one timer for a connection's many calls.

A timer each costs about a microsecond, and nearly all are cancelled; here a call costs an entry in a set.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

STEP_S: Final = 0.01  # a call may end this much after its deadline, never before


class Deadlines:
    """Call ids in slots of 10 ms. `expire` is told of each id that is still in its slot when the slot is due."""

    __slots__ = ("_expire", "_loop", "_order", "_slots", "_timer", "_timer_slot")

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[int], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._slots: dict[int, set[int]] = {}
        self._order: list[int] = []  # a heap of the slots' numbers
        self._timer: asyncio.TimerHandle | None = None
        self._timer_slot = 0

    def add(self, call_id: int, deadline: float) -> set[int]:
        """The slot, from which the caller discards the id when the call ends."""
        number = int(deadline / STEP_S) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            heapq.heappush(self._order, number)
            if self._timer is None or number < self._timer_slot:
                self._arm(number)
        slot.add(call_id)
        return slot

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()
        self._order.clear()

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_slot = self._loop.call_at(number * STEP_S, self._due), number

    def _due(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        while self._order and (self._order[0] * STEP_S <= now_s or not self._slots[self._order[0]]):
            slot = self._slots.pop(heapq.heappop(self._order))
            while slot:  # one call's end may end others of the slot
                self._expire(slot.pop())
        if self._order and self._timer is None:
            self._arm(self._order[0])
