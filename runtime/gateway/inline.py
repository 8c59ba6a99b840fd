"""The way out of slices that the gateway itself hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from runtime.invocation.context import CallContext


class Route(Protocol):
    """What an inline slice's calls need of the router."""

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes: ...


class InlineCaller:
    """Implements the SDK's Caller over the router of this process."""

    def __init__(self, router: Callable[[], Route]) -> None:
        self._router = router

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        """Within the caller's deadline, if it has one, in a span of its own."""
        own_s = asyncio.get_running_loop().time() + deadline_s
        inner = CallContext.root(own_s) if context is None else context.child()
        inner.deadline = min(inner.deadline, own_s)
        return await self._router().call(target, payload, inner, deadline_s=deadline_s, node=node)
