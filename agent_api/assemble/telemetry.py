"""What control knows to tell of the cluster, until a fuller desk takes its place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from runtime.consensus.cache import StoreCache


class FactDesk:
    """Implements the API's Telemetry with what the cache alone can say."""

    def __init__(self, cache: StoreCache) -> None:
        self._cache = cache

    async def run(self) -> None:
        await anyio.sleep_forever()

    def exposition(self) -> bytes:
        return b""

    def picture(self) -> dict[str, object]:
        return {}

    def window(self, slice_name: str) -> dict[str, object] | None:
        return None

    async def logs(self, query: dict[str, str]) -> dict[str, object]:
        return {"logs": []}

    async def traces(self, query: dict[str, str]) -> dict[str, object]:
        return {"traces": []}

    def facts(self, after: str, limit: int) -> list[dict[str, object]]:
        return []

    async def follow_facts(self, after: str) -> AsyncIterator[dict[str, object]]:
        await anyio.sleep_forever()
        yield {}
