"""How many retries a slice's calls may cause: a share of the calls, plus a trickle so that quiet slices retry too."""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.2  # of the calls: a failing instance costs the others a fifth more work at most
TRICKLE_PER_S: Final = 10.0
TOKENS_MAX: Final = 100.0  # ten seconds of the trickle: bursts after a quiet time stay small


class RetryBudget:
    """A token bucket; times are seconds of one clock that never goes back. Source: Finagle's retry budget."""

    __slots__ = ("_at_s", "_tokens")

    def __init__(self, now_s: float) -> None:
        self._tokens = TRICKLE_PER_S
        self._at_s = now_s

    def deposit(self) -> None:
        """A call was made."""
        if self._tokens < TOKENS_MAX:
            self._tokens += SHARE

    def withdraw(self, now_s: float) -> bool:
        """Whether a retry may be made now; if so it is paid for."""
        self._tokens = min(TOKENS_MAX, self._tokens + (now_s - self._at_s) * TRICKLE_PER_S)
        self._at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
