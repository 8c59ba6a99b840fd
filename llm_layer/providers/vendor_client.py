"""A maker's own client, loaded when it is first needed, with its exceptions kept in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread

from llm_layer.providers.configured import Configured
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.vendor_faults import BROKE_OFF, guarded

T = TypeVar("T")
Opened = tuple[Any, tuple[type[Exception], ...]]
"""The client, and the base of what it raises by itself."""
UNWRAPPED: Final = (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError)
"""What it lets through. It makes objects of whatever it is sent: what an answer lacks shows where it is looked for."""


class Progress(Protocol):
    """How far an answer has come. `amid_call`: a tool call is only half there."""

    @property
    def seen(self) -> bool: ...

    @property
    def amid_call(self) -> bool: ...


class VendorClient:
    """Its import takes most of a second of a core, so it happens in a thread, once."""

    def __init__(self, configured: Configured, opened: Callable[[Configured], Opened]) -> None:
        self._configured = configured
        self._opened = opened
        self._loading = anyio.Lock()
        self._client: Any = None
        self._raised: tuple[type[Exception], ...] = ()

    async def call(self, use: Callable[[Any], Awaitable[T]], progress: Progress | None = None) -> T:
        """Raises ProviderFault or Overflowed."""
        await self.load()
        client = self._client
        try:
            return await guarded(lambda: use(client), raised=self._raised, key=self._configured.key.reveal())
        except ProviderFault as fault:
            if progress is None or not progress.seen:
                raise
            broke_off = fault.trouble in ("cut", "unreachable")
            ours = ProviderFault("cut", BROKE_OFF, amid_call=progress.amid_call) if broke_off else fault
        raise ours

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def load(self) -> None:
        """Before a provider's time runs: what it takes is none of theirs."""
        async with self._loading:
            if self._client is None:
                client, raised = await anyio.to_thread.run_sync(self._opened, self._configured)
                self._raised = (*raised, *UNWRAPPED, _transport_errors())
                self._client = client


def _transport_errors() -> type[Exception]:
    """Of a stream under way; both makers' clients use the same transport."""
    import httpx2

    error: type[Exception] = httpx2.HTTPError
    return error
