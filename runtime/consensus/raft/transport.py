"""pysyncobj's messages over our connections: msgpack, mutual TLS, only between members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from runtime.consensus.raft.core import syncobj

Node: Final = syncobj.Node
MessageT = dict[str, object]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, object]).decode


class Wire(Protocol):
    """How messages leave: implemented over connections by the store process, and by the simulated network."""

    def open(self, node: str, address: str) -> None:
        """Connect to a member, and keep connecting."""
        ...

    def close(self, node: str) -> None: ...

    def send(self, node: str, message: bytes) -> bool:
        """False when the message will not arrive; the connection is then given up and made anew."""
        ...


class RaftTransport(syncobj.Transport):  # type: ignore[misc, name-defined]  # pysyncobj has no types
    """Members by node id. `members_changed` is told of every change, before messages go to the new member."""

    ready = True

    def __init__(self, wire: Wire, members: dict[str, str], members_changed: Callable[[dict[str, str]], None]) -> None:
        super().__init__(None, None, ())
        self._wire = wire
        self._nodes: dict[str, object] = {}
        self._changed = members_changed
        self.outgoing: Callable[[MessageT], MessageT] = lambda message: message
        self.members = dict(members)

    def open(self, own: str) -> None:
        for node, address in self.members.items():
            if node != own:
                self._nodes[node] = Node(node, address=address)
                self._wire.open(node, address)

    def addNode(self, node: object) -> None:  # noqa: N802
        name, address = node.id, node.address  # type: ignore[attr-defined]
        self._nodes[name] = node
        self.members[name] = address
        self._changed(self.members)
        self._wire.open(name, address)

    def dropNode(self, node: object) -> None:  # noqa: N802
        name = node.id  # type: ignore[attr-defined]
        self._nodes.pop(name, None)
        self.members.pop(name, None)
        self._changed(self.members)
        self._wire.close(name)

    def send(self, node: object, message: MessageT) -> bool:
        sent = self._wire.send(node.id, _encode(self.outgoing(message)))  # type: ignore[attr-defined]
        if not sent:
            self._onNodeDisconnected(node)
        return sent

    def connected(self, name: str) -> None:
        if name in self._nodes:
            self._onNodeConnected(self._nodes[name])

    def disconnected(self, name: str) -> None:
        if name in self._nodes:
            self._onNodeDisconnected(self._nodes[name])

    def received(self, name: str, raw: bytes) -> bool:
        """False for a message that is not one, or not from a member: it is dropped."""
        node = self._nodes.get(name)
        if node is None:
            return False
        try:
            message = _decode(raw)
        except msgspec.DecodeError:
            return False
        self._onMessageReceived(node, message)
        return True

    def destroy(self) -> None:
        for name in tuple(self._nodes):
            self._wire.close(name)
