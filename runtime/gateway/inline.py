"""Slices hosted in the gateway itself: their way out to other slices, and the rows that make them known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from runtime.invocation.context import CallContext
from runtime.invocation.router import INLINE
from runtime.invocation.table import InstanceRow, RoutingTable
from runtime.sdk.contract import SliceContract

SYSTEM_INSTANCE: Final = 1  # one of each on every node


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


def with_system_slices(table: RoutingTable, contracts: Sequence[SliceContract]) -> RoutingTable:
    """The table with the system slices of every node in it. Control need not list what always runs."""
    if not contracts:
        return table
    names = {contract.name for contract in contracts}
    nodes = (table.node, *(peer.node for peer in table.peers))
    rows = tuple(
        InstanceRow(contract.name, contract.version, node, SYSTEM_INSTANCE, 100, INLINE if node == table.node else "")
        for contract in contracts
        for node in nodes
    )
    return msgspec.structs.replace(
        table,
        instances=(*(row for row in table.instances if row.slice not in names), *rows),
        contracts=(*(contract for contract in table.contracts if contract.name not in names), *contracts),
    )
