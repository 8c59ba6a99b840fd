"""The core nodes as a node without a store of its own knows them: asked in turn, and learned anew from each."""

from __future__ import annotations

import itertools
import random
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from runtime.consensus import wire as w
from runtime.consensus.dialing import connect_member
from runtime.consensus.hello import greeting
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted

ASK_S: Final = 3.0

Learned = Callable[[dict[str, str]], None]


class CoreNodes:
    """`learned` is told when the addresses have changed, so that they can be kept for the next start."""

    def __init__(self, addresses: Mapping[str, str], context: ssl.SSLContext, learned: Learned) -> None:
        self.addresses = dict(addresses)
        self._context = context
        self._learned = learned
        self._turn = itertools.count(random.randrange(1_000))  # noqa: S311  spreads nodes over the core nodes

    async def dial(self) -> Connection:
        """To the next one. Raises CallFault."""
        nodes = sorted(self.addresses)
        if not nodes:
            raise NotStarted("no core node is known; join the cluster again")
        node = nodes[next(self._turn) % len(nodes)]
        connection = await greeting(lambda: connect_member(node, self.addresses[node], self._context))()
        try:
            await self._learn(connection)
        except BaseException:
            connection.abort("it could not be asked for the members")
            raise
        return connection

    async def _learn(self, connection: Connection) -> None:
        """One that hears a leader knows who belongs to the group; one that does not may have been removed itself."""
        raw = [await connection.call(target, deadline_s=ASK_S) for target in (w.MEMBERS, w.STATUS)]
        try:
            members = w.decode_members(raw[0]).addresses
            status = w.decode_status(raw[1])
        except msgspec.DecodeError as error:
            raise NotStarted(f"what the store of {connection.peer} says cannot be read: {error}") from error
        found = members if status.has_quorum and members else {**self.addresses, **members}
        if found != self.addresses:
            self.addresses = dict(found)
            self._learned(found)
