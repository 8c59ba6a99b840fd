"""Going in good order: the node is marked as leaving, its instances run elsewhere, then it leaves."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.cluster.membership import Lines, Membership
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Put, Store, unchanged
from runtime.deployment.view import StateView
from runtime.errors import RuntimeFault
from runtime.invocation.incoming import IncomingCall, UnaryHandler
from runtime.names import NodeId
from runtime.state import keys
from runtime.state.values import encode

DRAIN: Final = "_control/drain"
LEAVE: Final = "_control/leave"


class NotMember(RuntimeFault):
    """A node that has not registered yet cannot leave."""

    code, retryable = "not_a_member", True


class NowhereToGo(RuntimeFault):
    """The last node of a cluster has nobody to hand its instances to."""

    code = "nowhere_to_go"
    remedy = "Start or uncordon another node first; or stop this one without moving its instances."


class Leaving:
    """The verbs of control's Unix socket."""

    def __init__(self, *, node: NodeId, store: Store, view: StateView, membership: Membership, log: Lines) -> None:
        self._node = node
        self._store = store
        self._view = view
        self._membership = membership
        self._log = log

    def verbs(self) -> dict[str, UnaryHandler]:
        return {DRAIN: self._drain, LEAVE: self._leave}

    async def _drain(self, _call: IncomingCall) -> bytes:
        """Answers once nothing is assigned here any more; the caller's deadline bounds it."""
        cache, key = self._view.cache, keys.node(self._node)
        record, item = self._view.node(self._node), cache.get(key)
        if record is None or item is None:
            raise NotMember("this node has not registered yet")
        if not record.leaving:
            leaving = msgspec.structs.replace(record, leaving=True)
            await self._store.txn([unchanged(key, item.mod_revision)], [Put(key=key, value=encode(leaving))])
        self._log.info("drain_began")
        while True:
            seen = cache.revision
            node = self._view.node(self._node)
            if not self._somewhere_else():
                raise NowhereToGo("no other node is there to take this node's instances")
            if node is not None and node.leaving and not self._view.assignments(self._node) and not self._states():
                return b""
            await cache.changed(seen)

    def _somewhere_else(self) -> bool:
        return any(
            other.node != self._node and not other.leaving and not other.cordoned for other in self._view.live_nodes()
        )

    def _states(self) -> bool:
        """Instances that are still on their way out."""
        return any(state.node == self._node for state in self._view.instance_states())

    async def _leave(self, _call: IncomingCall) -> bytes:
        try:
            await self._membership.leave()
        except StoreFault as error:
            self._log.warning("leave_not_told", reason=str(error))  # the lease ends by itself in three seconds
        return b""
