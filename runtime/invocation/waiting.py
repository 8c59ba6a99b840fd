"""Calls that wait for an instance to become reachable or to have room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

WAITING_MAX: Final = 1_024  # per slice: a second of 1,000 calls; one stuck slice must not take all of a gateway's calls


class Timer(Protocol):
    def cancel(self) -> None: ...


class WaitingRoom:
    """Bounded for each slice by itself. `later` is the loop's `call_later`."""

    __slots__ = ("_later", "_waiting")

    def __init__(self, later: Callable[[float, Callable[[], None]], Timer]) -> None:
        self._later = later
        self._waiting: Counter[str] = Counter()

    def enter(self, slice_name: str, seconds: float, then: Callable[[], None]) -> Callable[[], None] | None:
        """Calls `then` after the time; gives what calls that off, or None when the slice has no place left."""
        if self._waiting[slice_name] >= WAITING_MAX:
            return None
        self._waiting[slice_name] += 1

        def leave() -> None:
            self._waiting[slice_name] -= 1
            if not self._waiting[slice_name]:
                del self._waiting[slice_name]

        def due() -> None:
            leave()
            then()

        timer = self._later(seconds, due)

        def called_off() -> None:
            timer.cancel()
            leave()

        return called_off

    def counts(self) -> dict[str, int]:
        """How many wait, by slice."""
        return dict(self._waiting)
