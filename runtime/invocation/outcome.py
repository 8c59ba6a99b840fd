"""How a call ended, for those who wait by callback."""

from __future__ import annotations

from runtime.invocation.errors import CallFault


class Outcome:
    """Either a reply's payload, or the error it ended with."""

    __slots__ = ("error", "payload")

    def __init__(self, payload: bytes, error: CallFault | None = None) -> None:
        self.payload = payload
        self.error = error
