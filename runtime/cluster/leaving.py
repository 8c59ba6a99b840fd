"""Going in good order: the node is marked as leaving, its instances run elsewhere, then it leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import msgspec

from runtime.cluster.membership import Lines, Membership
from runtime.consensus.errors import StoreFault
from runtime.consensus.store import Put, Store, unchanged
from runtime.deployment.errors import ChangedMeanwhile
from runtime.deployment.view import StateView
from runtime.errors import RuntimeFault
from runtime.invocation.incoming import IncomingCall, UnaryHandler
from runtime.names import NodeId
from runtime.state import keys
from runtime.state.values import encode

DRAIN: Final = "_control/drain"
LEFT: Final = "_control/left"
LEAVE: Final = "_control/leave"
END_RETRY_S: Final = 1.0
MARK_TRIES_MAX: Final = 8  # each lost try is somebody else's change of the same record: a person's, or one a second


class NotMember(RuntimeFault):
    """A node that has not registered yet cannot leave."""

    code, retryable = "not_a_member", True


class NowhereToGo(RuntimeFault):
    """The last node of a cluster has nobody to hand its instances to."""

    code = "nowhere_to_go"
    remedy = "Start or uncordon another node first; or stop this one without moving its instances."


async def mark_leaving(store: Store, view: StateView, node: NodeId) -> None:
    """Returns once this node's cache shows the mark. What was read is compared, and read again when it changed, so that
    a cordon or a registration at the same moment is not undone. Raises NotMember or ChangedMeanwhile."""
    key = keys.node(node)
    for _ in range(MARK_TRIES_MAX):
        record, item = view.node(node), view.cache.get(key)
        if record is None or item is None:
            raise NotMember("this node has not registered yet")
        if record.leaving:
            return
        leaving = msgspec.structs.replace(record, leaving=True)
        result = await store.txn([unchanged(key, item.mod_revision)], [Put(key=key, value=encode(leaving))])
        await view.cache.wait_for(result.revision)
    raise ChangedMeanwhile(f"the record of node {node} kept changing while it was marked as leaving")


class Leaving:
    """The verbs of control's Unix socket."""

    def __init__(
        self,
        *,
        node: NodeId,
        store: Store,
        view: StateView,
        membership: Membership,
        end: Callable[[], Awaitable[object]],
        log: Lines,
    ) -> None:
        """end: begins to end all of the node's processes. Raises a RuntimeFault where that cannot be asked for."""
        self._end = end
        self._node = node
        self._store = store
        self._view = view
        self._membership = membership
        self._log = log

    def verbs(self) -> dict[str, UnaryHandler]:
        return {DRAIN: self._drain, LEFT: self._left, LEAVE: self._leave}

    async def run(self) -> None:
        """Ends the node once its record asks for that and nothing is left on it. Returns only then."""
        cache = self._view.cache
        await cache.wait_for(await self._membership.registered())
        while True:
            seen = cache.revision
            node = self._view.node(self._node)
            if node is not None and node.shutdown and self._is_empty():
                break
            await cache.changed(seen)
        self._log.info("shutdown_began")
        await self._tell_leaving()
        while True:
            try:
                await self._end()
                return
            except RuntimeFault as error:
                self._log.warning("shutdown_waits", reason=str(error))
            await anyio.sleep(END_RETRY_S)

    def _is_empty(self) -> bool:
        return not self._count()

    def _count(self) -> int:
        """Instances that are assigned here, or still on their way out."""
        leaving = {(each.slice, each.number) for each in self._view.instance_states() if each.node == self._node}
        return len(leaving | self._view.assignments(self._node).keys())

    async def _drain(self, _call: IncomingCall) -> bytes:
        """Answers once nothing is assigned here any more; the caller's deadline bounds it."""
        cache = self._view.cache
        await mark_leaving(self._store, self._view, self._node)
        self._log.info("drain_began")
        while True:
            seen = cache.revision
            node = self._view.node(self._node)
            if not self._somewhere_else():
                raise NowhereToGo("no other node is there to take this node's instances")
            if node is not None and node.leaving and self._is_empty():
                return b""
            await cache.changed(seen)

    def _somewhere_else(self) -> bool:
        return any(
            other.node != self._node and not other.leaving and not other.cordoned for other in self._view.live_nodes()
        )

    async def _left(self, call: IncomingCall) -> bytes:
        """How many instances are still here, once that is another number than the one that was asked with."""
        cache, known = self._view.cache, msgspec.msgpack.decode(call.payload, type=int)
        while True:
            seen = cache.revision
            if self._count() != known:
                return msgspec.msgpack.encode(self._count())
            await cache.changed(seen)

    async def _leave(self, _call: IncomingCall) -> bytes:
        await self._tell_leaving()
        return b""

    async def _tell_leaving(self) -> None:
        try:
            await self._membership.leave()
        except StoreFault as error:
            self._log.warning("leave_not_told", reason=str(error))  # the lease ends by itself in three seconds
