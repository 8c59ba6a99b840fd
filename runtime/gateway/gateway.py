"""One node's gateway as a whole: takes tables from control, serves by them, and leaves in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from runtime.gateway.front import Front
from runtime.gateway.routes import RouteTable, bindings_of
from runtime.gateway.server import HttpServer
from runtime.gateway.system import with_system_slices
from runtime.gateway.verbs import (
    DrainReply,
    DrainRequest,
    RequestUnreadable,
    TableApplied,
    TableMisdirected,
    TableStale,
)
from runtime.gateway.watch import Lines
from runtime.invocation.incoming import IncomingCall
from runtime.invocation.table import InstanceRow, RoutingTable
from runtime.names import NodeId
from runtime.sdk.contract import SliceContract

DRAIN_MS_MAX: Final = 60_000
FORWARDING_CHECK_S: Final = 0.02

_decode_table: Final = msgspec.msgpack.Decoder(RoutingTable).decode


class Routing(Protocol):
    """What the gateway needs of the router besides calls."""

    async def apply(self, table: RoutingTable) -> tuple[InstanceRow, ...]:
        """Puts a table in force; gives the local rows whose worker cannot be reached."""
        ...


class Gateway:
    """Tables come one at a time, and never an older one after a newer."""

    def __init__(
        self,
        *,
        node: NodeId,
        front: Front,
        server: HttpServer,
        routing: Routing,
        goaway: Callable[[], None],
        forwarding: Callable[[], int],
        lines: Lines,
        system: Sequence[SliceContract],
        opens: Callable[[], Awaitable[None]],
    ) -> None:
        self._node = node
        self._goaway = goaway  # tells peers that no new calls are taken here
        self._forwarding = forwarding  # how many calls of peers are in progress
        self._front = front
        self._server = server
        self._routing = routing
        self._lines = lines
        self._system = system  # slices that every gateway hosts
        self._opens = opens  # lets HTTP connections in, once there are routes
        self._is_open = False
        self._revision = -1
        self._applying = asyncio.Lock()

    async def take_table(self, call: IncomingCall) -> bytes:
        """The `_gateway/table` verb. Raises RequestUnreadable, TableMisdirected or TableStale."""
        try:
            table = _decode_table(call.payload)
        except msgspec.DecodeError as error:
            raise RequestUnreadable(str(error)) from error
        return msgspec.msgpack.encode(await self.apply(table))

    async def apply(self, table: RoutingTable) -> TableApplied:
        """Workers first, then routes: a route never leads to an instance that cannot be reached yet."""
        if table.node != self._node:
            raise TableMisdirected(f"this is node {self._node}, the table is for {table.node}")
        table = with_system_slices(table, self._system)
        async with self._applying:
            if table.revision < self._revision:
                raise TableStale(f"revision {table.revision} comes after {self._revision}")
            unreachable = await self._routing.apply(table)
            routes = RouteTable(bindings_of(table))
            self._front.apply(routes)
            self._revision = table.revision
            if not self._is_open:  # a connection refused costs a client nothing; a request without a route fails
                self._is_open = True
                await self._opens()
        applied = TableApplied(table.revision, unreachable, routes.conflicts)
        self._note(table, applied)
        return applied

    async def take_drain(self, call: IncomingCall) -> bytes:
        """The `_gateway/drain` verb. Raises RequestUnreadable."""
        try:
            request = msgspec.msgpack.decode(call.payload, type=DrainRequest)
        except msgspec.DecodeError as error:
            raise RequestUnreadable(str(error)) from error
        finished = await self.drain(min(request.limit_ms, DRAIN_MS_MAX) / 1_000)
        return msgspec.msgpack.encode(DrainReply(finished))

    async def drain(self, limit_s: float) -> bool:
        """Takes nothing new and lets what is in progress end. True if it did within the limit."""
        self._lines.info("gateway_drain_began", in_flight=self._front.in_flight)
        self._goaway()
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + limit_s
        finished = await self._server.drain(limit_s)
        while self._forwarding() and loop.time() < ends_s:  # noqa: ASYNC110  connections announce no ends
            await asyncio.sleep(FORWARDING_CHECK_S)
        left = self._front.in_flight + self._forwarding()
        self._lines.info("gateway_drained", finished=finished and not left, in_progress=left)
        return finished and not left

    def _note(self, table: RoutingTable, applied: TableApplied) -> None:
        self._lines.info(
            "table_applied",
            revision=table.revision,
            instances=len(table.instances),
            peers=len(table.peers),
            unreachable=[f"{row.slice}/{row.number}" for row in applied.unreachable],
        )
        for conflict in applied.conflicts:
            self._lines.warning(
                "route_conflict",
                route=f"{conflict.http_method} {conflict.template}",
                winner=conflict.winner,
                loser=conflict.loser,
            )
