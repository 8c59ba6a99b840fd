"""Control's side of the gateway: pushes routing tables, and drives the instances hosted inline there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec

from runtime.cluster.membership import Lines
from runtime.gateway.verbs import DRAIN, STATS, TABLE, DrainRequest
from runtime.hosting.remote import RemoteInstanceHost
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.link import Link
from runtime.invocation.listener import connect_unix
from runtime.invocation.table import RoutingTable

COALESCE_S: Final = 0.005
RETRY_S: Final = 0.1
PUSH_S: Final = 8.0  # the gateway waits up to 3 s for new workers
TABLE_STALE: Final = "table_stale"


class GatewayLink:
    """`build` gives the table as of now. `reconnected` is called after every new connection."""

    def __init__(self, socket: Path, *, build: Callable[[], RoutingTable], log: Lines) -> None:
        self._build = build
        self._log = log
        self._wanted = 1
        self._applied = 0
        self._wake = anyio.Event()
        self._moved = anyio.Event()
        self.reconnected: Callable[[], None] = lambda: None
        self._link = Link(lambda: connect_unix(socket), name="gateway", up=self._up)

    async def run(self) -> None:
        """Pushes whenever asked, coalesced. Never returns."""
        self._link.start()
        try:
            while True:
                await self._wake.wait()
                await anyio.sleep(COALESCE_S)
                self._wake = anyio.Event()
                if self._applied < self._wanted and not await self._push():
                    await anyio.sleep(RETRY_S)
                    self._wake.set()
        finally:
            with anyio.CancelScope(shield=True):
                await self._link.close()

    def push(self) -> None:
        """The state changed: the gateway gets a new table soon."""
        self._wanted += 1
        self._wake.set()

    async def pushed(self, *, limit_s: float) -> bool:
        """Pushes, and waits until the gateway works by a table that is at least as new as the state now."""
        self.push()
        wanted = self._wanted
        with anyio.move_on_after(limit_s):
            while self._applied < wanted:
                moved = self._moved
                await moved.wait()
            return True
        return False

    async def host(self) -> RemoteInstanceHost:
        """Raises NotStarted while the gateway is down."""
        return RemoteInstanceHost(await self._link.connection())

    @property
    def is_up(self) -> bool:
        return self._link.now is not None

    async def drain(self, limit_ms: int) -> None:
        payload = msgspec.msgpack.encode(DrainRequest(limit_ms))
        await self._link.call(DRAIN, payload, deadline_s=limit_ms / 1_000 + 5.0)

    async def stats(self, level: str) -> bytes:
        """The gateway's ProcessReport, encoded. Raises a CallFault. level: at which it is to log."""
        return await self._link.call(STATS, level.encode(), deadline_s=1.0)

    async def host_stats(self) -> bytes:
        """The report of the instances hosted inline there."""
        return await self._link.call("_host/stats", deadline_s=1.0)

    async def _push(self) -> bool:
        wanted = self._wanted
        table = self._build()
        try:
            await self._link.call(TABLE, msgspec.msgpack.encode(table), deadline_s=PUSH_S)
        except CallFault as error:
            if error.code != TABLE_STALE:
                self._log.warning("table_not_applied", reason=str(error))
            return False
        self._applied = max(self._applied, wanted)
        moved, self._moved = self._moved, anyio.Event()
        moved.set()
        return True

    def _up(self, _connection: Connection) -> None:
        """A gateway that starts knows nothing."""
        self._applied = 0
        self.push()
        self.reconnected()
