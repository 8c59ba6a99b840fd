"""The ContentStore port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from runtime.names import Sha256
from runtime.state import keys

Accept = Callable[[Path], object]
"""Looks at a complete file, in a thread, before it is kept or sent anywhere; refuses it by raising."""


def pin_key(sha256: Sha256, owner: str) -> str:
    """The pin in the store, for who must set or lift it in one transaction with what it stands for."""
    return keys.content_pin(sha256, quote(owner, safe=""))


class ContentStore(Protocol):
    """Content-addressed bytes, replicated to three nodes, or to all where there are fewer."""

    async def put(
        self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None, accept: Accept | None = None
    ) -> Sha256:
        """Keeps the bytes, atomically. Raises ContentMismatch, ContentTooLarge or what `accept` raises; then nothing
        stays."""
        ...

    async def get(self, sha256: Sha256) -> Path:
        """A local, verified, read-only file; fetched from a peer when missing. Raises ContentNotFound."""
        ...

    async def verify(self, sha256: Sha256) -> bool:
        """Reads the local copy again and compares; a damaged copy is set aside and fetched anew by the next `get`."""
        ...

    async def pin(self, sha256: Sha256, owner: str) -> None:
        """Keeps the bytes while any owner pins them."""
        ...

    async def unpin(self, sha256: Sha256, owner: str) -> None: ...

    async def collect(self) -> int:
        """Deletes what nobody pins. Returns the bytes freed."""
        ...
