"""The router: what a gateway knows of who serves what, and every call's way through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from runtime.invocation.attempt import Attempt
from runtime.invocation.balancer import CALLS_MAX, Backend, Channel, Random, choose
from runtime.invocation.budget import RetryBudget
from runtime.invocation.channels import LinkChannel
from runtime.invocation.connection import Connection
from runtime.invocation.context import CallContext
from runtime.invocation.ejection import SILENT_S_MIN
from runtime.invocation.errors import NotStarted
from runtime.invocation.incoming import IncomingCall
from runtime.invocation.link import Link
from runtime.invocation.outcome import Outcome
from runtime.invocation.table import InstanceRow, PeerRow, RoutingTable
from runtime.invocation.tasks import OwnedTask
from runtime.invocation.waiting import WaitingRoom

WORKER_CONNECT_S: Final = 3.0
RETRY_AFTER_MS: Final = 50  # for a full instance: about ten calls of a busy method end in this time
INLINE: Final = "inline"

Observe = Callable[[CallContext, str, str, float, Outcome], None]
"""Told of each forwarded call's end: context, target, caller's node, seconds, outcome."""


class Router:
    """Owned by one loop. `dial_worker` and `dial_peer` open one connection; links to them are the router's own."""

    def __init__(
        self,
        *,
        node: str,
        dial_worker: Callable[[str], Awaitable[Connection]],
        dial_peer: Callable[[PeerRow], Awaitable[Connection]],
        inline: Channel,
        random: Random,
        observe: Observe | None = None,
    ) -> None:
        self._node = node
        self._dial_worker = dial_worker
        self._dial_peer = dial_peer
        self._inline = inline
        self._random = random
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self.time_s = self._loop.time
        self.waiting = WaitingRoom(self._loop.call_later)
        self._links: dict[tuple[str, str], LinkChannel] = {}  # ("worker", id) or ("peer", node@address)
        self._retiring: set[OwnedTask] = set()
        self._by_slice: dict[str, tuple[Backend, ...]] = {}
        self._local: dict[tuple[str, int], Backend] = {}
        self._resting: frozenset[str] = frozenset()
        self._idempotent: frozenset[tuple[str, str]] = frozenset()  # (target, version)
        self._budgets: dict[str, RetryBudget] = {}

    # -- the table -------------------------------------------------------------------------------------------------

    async def apply(self, table: RoutingTable) -> tuple[InstanceRow, ...]:
        """Puts the table in force; gives the local rows whose worker cannot be reached yet."""
        wanted = self._open_links(table)
        workers = [channel for (kind, _), channel in wanted.items() if kind == "worker"]
        await asyncio.gather(*(channel.connected(deadline_s=WORKER_CONNECT_S) for channel in workers))
        self._enforce(table)
        self._close_links_except(wanted)
        return tuple(backend.row for backend in self._local.values() if not backend.channel.is_ready)

    def _open_links(self, table: RoutingTable) -> dict[tuple[str, str], LinkChannel]:
        wanted: dict[tuple[str, str], LinkChannel] = {}
        for row in table.instances:
            if row.node == table.node and row.worker != INLINE:
                wanted[("worker", row.worker)] = self._worker(row.worker)
        for peer in table.peers:
            wanted[("peer", f"{peer.node}@{peer.address}")] = self._peer(peer)
        return wanted

    def _worker(self, worker: str) -> LinkChannel:
        async def dial() -> Connection:
            return await self._dial_worker(worker)

        return self._channel(("worker", worker), f"worker {worker}", dial)

    def _peer(self, peer: PeerRow) -> LinkChannel:
        async def dial() -> Connection:
            return await self._dial_peer(peer)

        return self._channel(("peer", f"{peer.node}@{peer.address}"), f"node {peer.node}", dial)

    def _channel(self, key: tuple[str, str], name: str, dial: Callable[[], Awaitable[Connection]]) -> LinkChannel:
        channel = self._links.get(key)
        if channel is None:
            channel = self._links[key] = LinkChannel(Link(dial, name=name).start())
        return channel

    def _enforce(self, table: RoutingTable) -> None:
        known = {_key(backend.row): backend for backends in self._by_slice.values() for backend in backends}
        peers = {peer.node: peer for peer in table.peers}
        limits = {(contract.name, contract.version): contract.concurrency_max for contract in table.contracts}
        by_slice: dict[str, list[Backend]] = {}
        self._local = {}
        for row in table.instances:
            channel = self._channel_of(row, table.node, peers)
            if channel is None:
                continue
            limit = limits.get((row.slice, row.version), CALLS_MAX)
            backend = known.get(_key(row))
            if backend is None:
                backend = Backend(row, channel, local=row.node == table.node, limit=limit)
            else:
                backend.moved_to(row, channel, limit)
            by_slice.setdefault(row.slice, []).append(backend)
            if backend.local:
                self._local[row.slice, row.number] = backend
        self._by_slice = {name: tuple(backends) for name, backends in by_slice.items()}
        self._resting = frozenset(row.slice for row in table.resting) - by_slice.keys()
        self._budgets = {name: self._budgets.get(name) or RetryBudget(self.time_s()) for name in by_slice}
        self._idempotent = frozenset(
            (f"{contract.name}/{method.name}", contract.version)
            for contract in table.contracts
            for method in contract.methods
            if method.idempotent
        )

    def _channel_of(self, row: InstanceRow, node: str, peers: dict[str, PeerRow]) -> Channel | None:
        if row.node == node:
            return self._inline if row.worker == INLINE else self._links[("worker", row.worker)]
        peer = peers.get(row.node)
        if peer is None or peer.leaving:
            return None
        return self._links[("peer", f"{peer.node}@{peer.address}")]

    def _close_links_except(self, wanted: Collection[tuple[str, str]]) -> None:
        for key in [key for key in self._links if key not in wanted]:
            channel = self._links.pop(key)
            self._retiring = {task for task in self._retiring if not task.is_done}
            self._retiring.add(OwnedTask(channel.retire(), f"retire {key[1]}"))

    # -- calls -----------------------------------------------------------------------------------------------------

    def start(
        self,
        target: str,
        payload: bytes,
        context: CallContext,
        done: Callable[[Outcome], None],
        *,
        http: bool = False,
        versions: frozenset[str] | None = None,
        node: str = "",
    ) -> Callable[[], None]:
        """Begins a call; `done` is called once, unless the returned function cancels it first."""
        budget = self._budgets.get(target.partition("/")[0])
        if budget is not None:
            budget.deposit()
        attempt = Attempt(self, target, payload, context, done, http=http, versions=versions, node=node)
        attempt.begin()
        return attempt.cancel

    async def call(
        self,
        target: str,
        payload: bytes,
        context: CallContext | None = None,
        *,
        deadline_s: float = 5.0,
        node: str = "",
    ) -> bytes:
        """The reply's payload. Raises a CallFault."""
        waiter: asyncio.Future[bytes] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if waiter.done():
                return
            if outcome.error is None:
                waiter.set_result(outcome.payload)
            else:
                waiter.set_exception(outcome.error)

        context = context or CallContext.root(self.time_s() + deadline_s)
        cancel = self.start(target, payload, context, done, node=node)
        try:
            return await waiter
        except asyncio.CancelledError:
            cancel()
            raise

    def take_peer_call(self, incoming: IncomingCall) -> None:
        """From another gateway: to the local instance it chose, as raw bytes, or a NACK."""
        backend = self._local.get((incoming.target.partition("/")[0], incoming.instance))
        if backend is None or not backend.channel.is_ready:
            incoming.fail(NotStarted("that instance is gone from this node"))
            return
        if backend.in_flight >= backend.limit:
            incoming.fail(NotStarted(f"that instance is full: {backend.limit} calls", retry_after_ms=RETRY_AFTER_MS))
            return
        context = incoming.context.child()
        began_s = self.time_s()
        backend.in_flight += 1
        ended = False

        def done(outcome: Outcome) -> None:
            nonlocal ended
            if not ended:
                ended = True
                backend.in_flight -= 1
            incoming.finish(outcome)
            if self._observe is not None:
                self._observe(context, incoming.target, incoming.peer, self.time_s() - began_s, outcome)

        cancel = backend.channel.start_call(
            incoming.target,
            incoming.payload,
            context=context,
            done=done,
            instance=incoming.instance,
            http=incoming.http,
        )

        def cancelled() -> None:
            nonlocal ended
            if not ended:
                ended = True
                backend.in_flight -= 1
            cancel()

        incoming.on_cancel = cancelled

    def take_local_call(self, incoming: IncomingCall) -> None:
        """From a worker of this node. "n1:aether-cache/get" addresses the instance of node n1."""
        node, colon, target = incoming.target.rpartition(":")
        began_s = self.time_s()

        def done(outcome: Outcome) -> None:
            incoming.finish(outcome)
            if self._observe is not None:
                self._observe(incoming.context, target, self._node, self.time_s() - began_s, outcome)

        incoming.on_cancel = self.start(
            target, incoming.payload, incoming.context, done, http=incoming.http, node=node if colon else ""
        )

    # -- what attempts ask -----------------------------------------------------------------------------------------

    def pick(
        self, target: str, tried: tuple[Backend, ...], versions: frozenset[str] | None, node: str
    ) -> Backend | None:
        backends = self._by_slice.get(target.partition("/")[0], ())
        if node:
            backends = tuple(backend for backend in backends if backend.row.node == node)
        return choose(backends, now_s=self.time_s(), random=self._random, tried=tried, versions=versions)

    def is_listed(self, target: str, node: str) -> bool:
        backends = self._by_slice.get(target.partition("/")[0], ())
        return any(not node or backend.row.node == node for backend in backends)

    def is_resting(self, target: str) -> bool:
        """Its slice has no instance, and gets one because it is called."""
        return target.partition("/")[0] in self._resting

    def is_idempotent(self, target: str, version: str) -> bool:
        return (target, version) in self._idempotent

    def may_retry(self, target: str) -> bool:
        budget = self._budgets.get(target.partition("/")[0])
        return budget is not None and budget.withdraw(self.time_s())

    def silent(self, backend: Backend, waited_s: float) -> None:
        """A call's deadline passed without a reply."""
        backend.took(waited_s, self.time_s())
        if waited_s >= SILENT_S_MIN:
            self.failed(backend)

    def failed(self, backend: Backend) -> None:
        backends = self._by_slice.get(backend.row.slice, ())
        out = sum(other.ejection.is_out(self.time_s()) for other in backends)
        backend.ejection.failed(self.time_s(), out=out, instances=len(backends))

    def nodes(self) -> tuple[str, ...]:
        """The nodes that serve anything, this one included."""
        found = {backend.row.node for backends in self._by_slice.values() for backend in backends}
        return tuple(sorted(found | {self._node}))

    async def close(self) -> None:
        for task in self._retiring:
            await task.end()
        for channel in self._links.values():
            await channel.close()
        self._links.clear()


def _key(row: InstanceRow) -> tuple[str, str, str, int]:
    return row.slice, row.version, row.node, row.number
