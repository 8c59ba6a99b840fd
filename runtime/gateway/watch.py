"""Counts every request, and writes the canonical line for those that are slow, failed or sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.gateway.exchange import Exchange
    from runtime.invocation.outcome import Outcome


class RequestWatch:
    def ended(self, exchange: Exchange, took_s: float, outcome: Outcome) -> None: ...
    def broke(self, error: Exception) -> None:
        raise error
