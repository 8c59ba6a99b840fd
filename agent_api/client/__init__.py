"""The typed client of the API: `Client`, and `AsyncClient` for asyncio; both made from the catalogue of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_api.client.asynchronous import AsyncClient
    from agent_api.client.client import Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    """Imported when asked for: who uses one of them does not load the other's transport."""
    if name == "Client":
        from agent_api.client.client import Client

        return Client
    if name == "AsyncClient":
        from agent_api.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(name)
