"""How raft messages leave: over connections in the store process, over a simulated network in tests."""

from __future__ import annotations

from typing import Protocol


class Wire(Protocol):
    """Connections to the other members, kept open."""

    def open(self, node: str, address: str) -> None:
        """Connect to a member, and keep connecting."""
        ...

    def close(self, node: str) -> None: ...

    def send(self, node: str, message: bytes) -> bool:
        """False when the message will not arrive."""
        ...
