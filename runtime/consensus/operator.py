"""An operator's view of the store: through a node's directory, of every member by itself."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from runtime.cluster.identity import NodeIdentity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of
from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.client import StoreClient
from runtime.consensus.core_nodes import CoreNodes
from runtime.consensus.dialing import connect_member
from runtime.consensus.digest import Digest
from runtime.consensus.errors import StoreUnavailable
from runtime.consensus.figures import StoreFigures
from runtime.consensus.hello import greeting
from runtime.consensus.store import LEADER_KEY, Revision, StoreStatus
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, NotStarted
from runtime.invocation.listener import connect_unix
from runtime.security.tls import client_context

ASK_S: Final = 3.0
DIGEST_S: Final = 20.0  # 100,000 keys take half a second beside the work
Answer = TypeVar("Answer")


class MemberReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a member says of itself; `error` says why it does not."""

    node: str
    address: str
    status: StoreStatus | None = None
    figures: StoreFigures | None = None
    error: str = ""


class MemberDigest(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    digest: Digest | None = None
    error: str = ""


class Operator:
    """Asks the node's own store, or another core node's while that does not run."""

    def __init__(self, layout: NodeLayout, identity: NodeIdentity) -> None:
        self._layout, self._identity = layout, identity
        self._context = client_context(layout.tls)
        self._others = CoreNodes(identity.core_nodes, self._context, lambda _addresses: None)
        self.store = StoreClient(self._dial, moves=True)

    async def close(self) -> None:
        await self.store.close()

    async def status(self) -> list[MemberReport]:
        """Of all members, whether they answer or not; where none can say who they are, of those that this node knows.
        Raises StoreUnavailable where it knows none."""
        try:
            members = await self.store.members()
        except StoreUnavailable:
            members = self._known()
            if not members:
                raise
        return list(await asyncio.gather(*(self._report(node, address) for node, address in sorted(members.items()))))

    async def check(self) -> list[MemberDigest]:
        """Every member's digest of its state at one and the same entry of the log."""
        nonce = secrets.token_hex(8)
        members = await self.store.members()
        await self.store.begin_check(nonce)
        return list(
            await asyncio.gather(*(self._digest(nonce, node, address) for node, address in sorted(members.items())))
        )

    async def newest_revision(self) -> Revision:
        """One that includes everything acknowledged before the call."""
        return (await self.store.get(LEADER_KEY)).revision

    async def connect(self, node: str, address: str) -> Connection:
        """To that member's store itself. Raises CallFault."""
        if node == self._identity.node and self._identity.role == "core":
            return await connect_unix(self._layout.socket("store"))
        return await connect_member(node, address, self._context, connect_s=ASK_S)

    def _known(self) -> dict[str, str]:
        """Itself, and those that it joined through."""
        identity = self._identity
        own = {str(identity.node): addresses_of(identity.listen).store} if identity.role == "core" else {}
        return {**identity.core_nodes, **own}

    async def _report(self, node: str, address: str) -> MemberReport:
        async def ask(connection: Connection) -> MemberReport:
            status = await connection.call(w.STATUS, deadline_s=ASK_S)
            figures = await connection.call(ow.FIGURES, deadline_s=ASK_S)
            return MemberReport(
                node=node,
                address=address,
                status=w.decode_status(status),
                figures=ow.decode_figures(figures),
            )

        return await self._asked(node, address, ask, lambda why: MemberReport(node=node, address=address, error=why))

    async def _digest(self, nonce: str, node: str, address: str) -> MemberDigest:
        async def ask(connection: Connection) -> MemberDigest:
            raw = await connection.call(ow.DIGEST, w.encode(ow.DigestRequest(nonce)), deadline_s=DIGEST_S)
            return MemberDigest(node=node, digest=ow.decode_digest(raw))

        return await self._asked(node, address, ask, lambda why: MemberDigest(node=node, error=why))

    async def _asked(
        self,
        node: str,
        address: str,
        ask: Callable[[Connection], Awaitable[Answer]],
        silent: Callable[[str], Answer],
    ) -> Answer:
        try:
            connection = await greeting(lambda: self.connect(node, address))()
        except CallFault as error:
            return silent(str(error))
        try:
            return await ask(connection)
        except (CallFault, msgspec.DecodeError) as error:
            return silent(str(error))
        finally:
            await connection.close()

    async def _dial(self) -> Connection:
        if self._identity.role != "core":
            return await self._others.dial()
        try:
            return await greeting(lambda: connect_unix(self._layout.socket("store")))()
        except NotStarted:
            if not self._others.addresses:
                raise
            return await self._others.dial()


def differing(digests: list[MemberDigest]) -> list[str]:
    """Members whose state is not that of most; all of them when no state has a majority."""
    states = [each.digest.state for each in digests if each.digest is not None]
    most = max(set(states), key=states.count, default="")
    if len(set(states)) > 1 and states.count(most) * 2 <= len(states):
        return [each.node for each in digests if each.digest is not None]
    return [each.node for each in digests if each.digest is not None and each.digest.state != most]


def member_of(reports: list[MemberReport], wanted: str) -> MemberReport:
    """The wanted one, else a follower that answers, else the leader. Raises StoreUnavailable."""
    answering = [each for each in reports if each.status is not None and wanted in ("", each.node)]
    if not answering:
        raise StoreUnavailable(f"{wanted or 'no member'} does not answer")
    return min(answering, key=lambda each: each.figures is not None and each.figures.leads)
