"""Where checkpoints lie: bytes by name, of one conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Shelf(Protocol):
    """Names are segments of letters, digits and `._~%:-` between slashes, 400 characters at most."""

    async def put(self, items: Mapping[str, bytes]) -> None:
        """All of them or none."""
        ...

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that there are."""
        ...

    async def list(self, prefix: str) -> list[str]:
        """Names that begin so, in their order."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Those that there are not are no error."""
        ...
