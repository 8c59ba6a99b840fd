"""Connections from this store to the other members': raft messages go over them, and requests for the leader."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

from runtime.consensus import wire as w
from runtime.consensus.dialing import connect_member
from runtime.consensus.figures import Note
from runtime.consensus.hello import greeting
from runtime.consensus.tasks import Endings
from runtime.invocation.connection import Connection
from runtime.invocation.errors import PeerRefused
from runtime.invocation.link import Link


class StoreLinks:
    """Implements Wire. `changed(node, up)` is told when a member becomes reachable or stops being so."""

    def __init__(self, node: str, cluster: str, context: ssl.SSLContext, note: Note) -> None:
        self._node = node
        self._cluster = cluster
        self._note = note
        self._refusals: dict[str, str] = {}  # node → why, so that it is said once
        self._context = context
        self._links: dict[str, Link] = {}
        self._endings = Endings()
        self.changed: Callable[[str, bool], None] = lambda _node, _up: None

    def open(self, node: str, address: str) -> None:
        if node == self._node or node in self._links:
            return
        self._links[node] = Link(
            self._dial(node, address),
            name=f"store of {node}",
            up=lambda _connection: self.changed(node, True),
            down=lambda _reason: self.changed(node, False),
        ).start()

    def close(self, node: str) -> None:
        link = self._links.pop(node, None)
        if link is not None:
            self._endings.add(link.close())

    def send(self, node: str, message: bytes) -> bool:
        connection = self.connection(node)
        return connection is not None and connection.notify(w.RAFT, message)

    def connection(self, node: str) -> Connection | None:
        link = self._links.get(node)
        return link.now if link is not None else None

    async def close_all(self) -> None:
        for node in tuple(self._links):
            self.close(node)
        await self._endings.wait()

    def _dial(self, node: str, address: str) -> Callable[[], Awaitable[Connection]]:
        async def dial() -> Connection:
            return await connect_member(node, address, self._context)

        async def checked() -> Connection:
            try:
                connection = await greeting(dial, cluster=self._cluster)()
            except PeerRefused as refusal:
                if self._refusals.get(node) != str(refusal):
                    self._refusals[node] = str(refusal)
                    self._note("member_refused", {"member": node, "error": str(refusal), "remedy": refusal.remedy})
                raise
            self._refusals.pop(node, None)
            return connection

        return checked
