"""A connection that comes back: dials, and dials again with jittered back-off, until closed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from runtime.invocation.connection import DEADLINE_S, Connection
from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallFault, NotStarted
from runtime.invocation.tasks import OwnedTask

BACKOFF_S_MIN: Final = 0.02
BACKOFF_S_MAX: Final = 1.0

Dial = Callable[[], Awaitable[Connection]]


class Link:
    """`up` and `down`, if given, are told of each new connection and of its end."""

    def __init__(
        self,
        dial: Dial,
        *,
        name: str,
        up: Callable[[Connection], None] | None = None,
        down: Callable[[str], None] | None = None,
    ) -> None:
        self._dial = dial
        self._up, self._down = up, down
        self.name = name
        self.last_error = ""
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._task: OwnedTask | None = None

    def start(self) -> Link:
        self._task = OwnedTask(self._keep(), f"link {self.name}")
        return self

    @property
    def now(self) -> Connection | None:
        """The connection, if there is one at this moment."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    async def connection(self, *, deadline_s: float = DEADLINE_S) -> Connection:
        """Waits for a connection. Raises NotStarted, with the last reason, when there is none in time."""
        try:
            async with asyncio.timeout(deadline_s):
                while (connection := self.now) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise NotStarted(f"no connection to {self.name}: {self.last_error or 'not yet connected'}") from None
        return connection

    async def call(
        self, target: str, payload: bytes = b"", *, deadline_s: float = DEADLINE_S, context: CallContext | None = None
    ) -> bytes:
        """As Connection.call, after waiting for a connection within the same deadline."""
        now = self.now
        if now is not None:
            return await now.call(target, payload, deadline_s=deadline_s, context=context)
        deadline = asyncio.get_running_loop().time() + deadline_s
        connection = await self.connection(deadline_s=deadline_s)
        left_s = max(0.001, deadline - asyncio.get_running_loop().time())
        return await connection.call(target, payload, deadline_s=left_s, context=context)

    async def stream(self, target: str, payload: bytes = b"") -> AsyncIterator[bytes]:
        items = (await self.connection()).stream(target, payload)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    async def close(self) -> None:
        if self._task is not None:
            await self._task.end()
        if self._connection is not None and self._connection.is_open:
            await self._connection.close()

    async def _keep(self) -> None:
        backoff_s = BACKOFF_S_MIN
        while True:
            try:
                connection = await self._dial()
            except CallFault as error:
                self.last_error = str(error)
                await asyncio.sleep(backoff_s * (0.5 + random.random()))  # noqa: S311  spreads dials, hides nothing
                backoff_s = min(BACKOFF_S_MAX, backoff_s * 2)
                continue
            backoff_s = BACKOFF_S_MIN
            self._connection = connection
            self._changed.set()
            if self._up is not None:
                self._up(connection)
            with contextlib.suppress(CallFault):
                await connection.wait_closed()
            self.last_error = connection.close_reason
            if self._down is not None:
                self._down(connection.close_reason)
