"""Who keeps failing is left alone for a while."""

from __future__ import annotations

from typing import Final

from runtime.clock import Clock

FAILURES_MAX: Final = 5
OPEN_S: Final = 60.0


class Breaker:
    """Of one provider. After `OPEN_S` one question is let through, and says whether it is well again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._opened_s: float | None = None
        self._probing = False
        self.why = ""
        """Of the last failure."""

    @property
    def open_for_s(self) -> float:
        """0 where questions are let through."""
        if self._opened_s is None:
            return 0.0
        return max(0.0, self._opened_s + OPEN_S - self._clock.monotonic_s())

    @property
    def failures(self) -> int:
        return self._failures

    def allows(self) -> bool:
        """Who is allowed tells afterwards how it went, by `failed`, `went_well` or `unknown`."""
        if self._opened_s is None:
            return True
        if self.open_for_s > 0 or self._probing:
            return False
        self._probing = True
        return True

    def went_well(self) -> None:
        self._failures, self._opened_s, self._probing = 0, None, False

    def failed(self, why: str) -> None:
        self.why = why
        self._failures += 1
        self._probing = False
        if self._failures >= FAILURES_MAX:
            self._opened_s = self._clock.monotonic_s()

    def unknown(self) -> None:
        """It was given up before it had answered, or it was the question's fault."""
        self._probing = False


class Breakers:
    """One for each provider, by name; they outlive the turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, Breaker] = {}

    def of(self, provider: str) -> Breaker:
        return self._of.setdefault(provider, Breaker(self._clock))

    def forget(self, provider: str) -> None:
        """Its settings or its key are others now: what it did before says nothing."""
        self._of.pop(provider, None)
