"""The other nodes, as the control process of one node knows and reaches them."""

from __future__ import annotations

from pathlib import Path

from runtime.deployment.view import StateView
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.invocation.listener import connect_tls
from runtime.names import NodeId
from runtime.security.tls import client_context


class Peers:
    """One connection to the control of each node, opened when it is first needed and again when it has broken."""

    def __init__(self, *, node: NodeId, view: StateView, tls: Path) -> None:
        self._node = node
        self._view = view
        self._dials = client_context(tls)
        self._open: dict[NodeId, Connection] = {}

    def live(self) -> list[NodeId]:
        return [record.node for record in self._view.live_nodes() if record.node != self._node]

    def down(self) -> list[NodeId]:
        known = {record.node for record in self._view.nodes()} - {record.node for record in self._view.live_nodes()}
        return sorted(known - {self._node})

    async def connect(self, node: NodeId) -> Connection:
        """Raises NotStarted."""
        known = self._open.get(node)
        if known is not None and known.is_open:
            return known
        record = self._view.node(node)
        if record is None:
            raise NotStarted(f"node {node} is not known")
        host, _, port = record.addresses.control.rpartition(":")
        connection = self._open[node] = await connect_tls(host.strip("[]"), int(port), self._dials, node)
        return connection
