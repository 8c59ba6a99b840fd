"""The Store as every other process sees it: over the node's Unix socket, or over mutual TLS to any core node."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from runtime.cluster.identity import NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.core_nodes import CoreNodes, Learned
from runtime.consensus.figures import StoreFigures
from runtime.consensus.hello import greeting
from runtime.consensus.limits import check_txn
from runtime.consensus.store import (
    NOW,
    RANGE_LIMIT_MAX,
    Compare,
    GetResult,
    Leadership,
    LeaseId,
    Operation,
    RangeResult,
    Revision,
    StoreStatus,
    TxnResult,
    WatchBatch,
)
from runtime.consensus.watch_parts import Joined, decode_part
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, RemoteFault
from runtime.invocation.link import Link
from runtime.invocation.listener import connect_unix
from runtime.security.tls import client_context

DEADLINE_S: Final = 5.0  # spans an election: most take under a second
ATTEMPT_S: Final = 2.0  # one member's time to answer before another attempt is made
MOVE_ON_S: Final = 1.8  # an election takes less: a store that knows no leader for longer may be the wrong one to ask
PAUSE_S: Final = 0.05
Answer = TypeVar("Answer")
_RETRIED: Final = {
    "not_leader",
    "no_quorum",
    "store_unavailable",
    "etcd_unreachable",
    "store_overloaded",
    "change_under_way",
}


class _Tried(NamedTuple):
    """The store that a request goes to in vain, and since when."""

    connection: Connection | None
    since_s: float


class StoreClient:
    """Implements Store. A change repeated after a lost answer is applied once: it carries session and number."""

    def __init__(
        self, dial: Callable[[], Awaitable[Connection]], *, deadline_s: float = DEADLINE_S, moves: bool = False
    ) -> None:
        """`moves`: `dial` may give another store the next time, so one that is of no use is left."""
        self._link = Link(dial, name="store").start()
        self._moves = moves
        self._deadline_s = deadline_s
        self._session = 0
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._in_flight: dict[int, None] = {}  # in order, so the first is the smallest

    @classmethod
    def open(
        cls,
        layout: NodeLayout,
        identity: NodeIdentity,
        *,
        deadline_s: float = DEADLINE_S,
        learned: Learned = lambda _addresses: None,
    ) -> StoreClient:
        """Core nodes have a store of their own; worker nodes take the core nodes' in turn. `learned` is told when
        others than `identity` names are core nodes now."""
        if identity.role == "core":
            return cls(greeting(lambda: connect_unix(layout.socket("store"))), deadline_s=deadline_s)
        nodes = CoreNodes(identity.core_nodes, client_context(layout.tls), learned)
        return cls(nodes.dial, deadline_s=deadline_s, moves=True)

    async def close(self) -> None:
        await self._link.close()

    # -- Store -----------------------------------------------------------------------------------------------------

    async def get(self, key: str, *, at_revision: Revision = NOW, stale_ok: bool = False) -> GetResult:
        raw = await self._ask(w.GET, w.encode(w.GetRequest(key, stale_ok, at_revision)))
        return _read(w.decode_got, raw)

    async def range(
        self,
        prefix: str,
        *,
        after: str = "",
        limit: int = RANGE_LIMIT_MAX,
        at_revision: Revision = NOW,
        stale_ok: bool = False,
    ) -> RangeResult:
        raw = await self._ask(w.RANGE, w.encode(w.RangeRequest(prefix, after, limit, stale_ok, at_revision)))
        return _read(w.decode_page, raw)

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> TxnResult:
        txn = c.Txn(tuple(compare), tuple(then), tuple(otherwise))
        check_txn(txn)
        result = await self._command(txn)
        assert result.txn is not None
        return result.txn

    async def grant(self, ttl_ms: int) -> LeaseId:
        return (await self._command(c.Grant(ttl_ms))).lease

    async def keep_alive(self, lease: LeaseId) -> None:
        await self._command(c.KeepAlive(lease))

    async def revoke(self, lease: LeaseId) -> None:
        await self._command(c.Revoke(lease))

    async def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        """Goes on over lost connections, from the revision behind the last one seen."""
        prefixes = (prefix,) if isinstance(prefix, str) else prefix
        following = from_revision
        while True:
            joined = Joined()
            try:
                async for raw in self._link.stream(w.WATCH, w.encode(w.WatchRequest(prefixes, following))):
                    batch = joined.add(_read(decode_part, raw))
                    if batch is not None:
                        following = Revision(max(following, batch.revision + 1))
                        yield batch
            except RemoteFault as fault:
                raise e.error_of(fault.code, fault.detail) from fault
            except CallFault:
                await self._pause()

    async def leadership(self) -> AsyncIterator[Leadership]:
        while True:
            try:
                async for raw in self._link.stream(w.LEADERSHIP):
                    yield _read(w.decode_leadership, raw)
            except CallFault:
                yield Leadership(leader="", fence=Revision(0))  # nobody can be asked, so nobody leads for us
                await self._pause()

    async def compact(self, revision: Revision) -> None:
        await self._command(c.Compact(revision))

    async def status(self) -> StoreStatus:
        return _read(w.decode_status, await self._ask(w.STATUS, b""))

    # -- members -----------------------------------------------------------------------------------------------------

    async def members(self) -> dict[str, str]:
        """Node id → store address of all members, as the store asked knows them."""
        return _read(w.decode_members, await self._ask(w.MEMBERS, b"")).addresses

    async def add_member(self, node: str, address: str, *, rises: bool = True) -> None:
        """As a learner; with `rises` it gets a vote once it has caught up. One that is a member stays as it is."""
        await self._ask(w.ADD_MEMBER, w.encode(w.MemberRequest(node, address, rises)))

    async def remove_member(self, node: str) -> None:
        await self._ask(w.REMOVE_MEMBER, w.encode(w.MemberRequest(node)))

    async def promote_member(self, node: str) -> None:
        """Gives a learner that has caught up a vote."""
        await self._ask(ow.PROMOTE_MEMBER, w.encode(w.MemberRequest(node)))

    async def transfer_leadership(self, to: str = "") -> str:
        """Another member leads from now on: `to`, or any that has the whole log. Returns which was asked to."""
        return _read(w.decode_member, await self._ask(ow.TRANSFER, w.encode(w.MemberRequest(to)))).node

    async def figures(self) -> StoreFigures:
        """Of the store that this client is connected to."""
        return _read(ow.decode_figures, await self._ask(ow.FIGURES, b""))

    async def begin_check(self, nonce: str) -> None:
        """Every member computes the digest of its state at one entry of the log; then it can be asked for it."""
        await self._command(c.Check(nonce))

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _command(self, command: c.Command) -> c.Applied:
        session = self._session or await self._open_session()
        number = next(self._numbers)
        self._in_flight[number] = None
        try:
            envelope = c.Envelope(command, session, number, next(iter(self._in_flight)))
            return _read(w.decode_applied, await self._ask(w.COMMAND, c.encode(envelope)))
        except e.SessionLost as lost:
            if self._session == session:
                self._session = 0  # forgotten: so many others came since it was last used
            if lost.repeated:
                raise
        finally:
            del self._in_flight[number]
        return await self._command(command)

    async def _open_session(self) -> int:
        """A session that is opened twice because an answer was lost is merely forgotten one day."""
        async with self._opening:
            if not self._session:
                raw = await self._ask(w.COMMAND, c.encode(c.Envelope(c.OpenSession())))
                self._session = _read(w.decode_applied, raw).session
            return self._session

    async def _ask(self, target: str, payload: bytes) -> bytes:
        """Tries again until the deadline: every verb may be repeated, commands because they are numbered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._deadline_s
        last: Exception | None = None
        attempts, tried = 0, _Tried(self._link.now, loop.time())
        while (left_s := deadline - loop.time()) > 0:
            attempts += 1
            try:
                return await self._link.call(target, payload, deadline_s=min(left_s, ATTEMPT_S))
            except RemoteFault as fault:
                error = e.error_of(fault.code, fault.detail)
                if isinstance(error, e.SessionLost):
                    error.repeated = attempts > 1
                if fault.code not in _RETRIED:
                    raise error from fault
                last = error
            except CallFault as fault:
                last = fault
            if self._moves and loop.time() - tried.since_s > MOVE_ON_S:
                tried = self._move_on(tried, loop.time())
            await self._pause()
        if isinstance(last, e.StoreFault) and not isinstance(last, e.NotLeader):
            raise last
        if isinstance(last, e.NotLeader):
            raise e.NoQuorum("no leader could be found in time; a majority of the core nodes may be down") from last
        raise e.StoreUnavailable(f"no store answered in {self._deadline_s} s: {last or 'none was asked'}") from last

    def _move_on(self, tried: _Tried, now_s: float) -> _Tried:
        """The store may be cut off, removed or stopped; the next one may not."""
        connection = self._link.now
        if connection is not None and connection is tried.connection:
            connection.abort("it could not do what was asked")
            connection = None
        return _Tried(connection, now_s)

    async def _pause(self) -> None:
        await asyncio.sleep(PAUSE_S * (0.5 + random.random()))  # noqa: S311  spreads retries, hides nothing


def _read(decode: Callable[[bytes], Answer], raw: bytes) -> Answer:
    """Raises AnswerUnreadable."""
    try:
        return decode(raw)
    except msgspec.DecodeError as error:
        raise e.AnswerUnreadable(f"a store's answer cannot be read: {error}") from error
