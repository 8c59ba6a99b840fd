"""What is too long for the store, as content that is pinned for its conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import anyio

from runtime.content.port import ContentStore, pin_key
from runtime.names import Sha256


class Bulk(Protocol):
    async def keep(self, raw: bytes) -> str:
        """Its hash. It stays once `pin_of` it is put, with what names it. Raises ContentFault."""
        ...

    async def read(self, sha256: str) -> bytes:
        """Raises ContentNotFound."""
        ...


class ContentBulk:
    """Implements Bulk."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content

    async def keep(self, raw: bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield raw

        return await self._content.put(chunks())

    async def read(self, sha256: str) -> bytes:
        return await anyio.Path(await self._content.get(Sha256(sha256))).read_bytes()


def pin_of(identity: str, sha256: str) -> str:
    """The pin in the store: it comes and goes with what names the content in that conversation."""
    return pin_key(Sha256(sha256), f"conversation/{identity}")
