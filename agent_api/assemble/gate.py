"""The gate and its leader services, wired for the control process."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from agent_api.catalogue import make_catalogue
from controllers.gate.answers import AnswerBook
from controllers.gate.applying import Applier
from controllers.gate.chaining import AuditChain
from controllers.gate.desk import GateDesk
from controllers.gate.gate import Gate
from controllers.gate.guarding import FigureSource, Guards
from controllers.gate.remote import GateLink
from controllers.gate.voting import Votes
from runtime.clock import Clock
from runtime.cluster.leader_services import LeaderService
from runtime.cluster.membership import Lines
from runtime.consensus.cache import StoreCache
from runtime.consensus.store import Leadership, Revision, Store
from runtime.content.port import ContentStore
from runtime.invocation.connection import Connection
from runtime.names import NodeId
from runtime.operations.identity import new_id
from runtime.state import keys

PREFIXES: Final = (
    keys.POLICY,
    keys.PROPOSALS,
    keys.PROPOSALS_LIVE,
    keys.RECENT,
    keys.FREEZES,
    keys.INCIDENTS,
    keys.AGENT_TURNS,
    keys.GUARDS,
    keys.PRINCIPALS,
    keys.API_KEYS,
    keys.CONFIG,
    keys.ALERT_THRESHOLDS,
    keys.ALERTS,
)
"""What the gate and the API read, beside what deployment reads."""
AUDIT_OWNER: Final = "audit"


class GateParts:
    """`link` is the Dispatcher of this node; `services` run while it leads."""

    def __init__(
        self,
        *,
        node: NodeId,
        store: Store,
        cache: StoreCache,
        content: ContentStore,
        figures: FigureSource,
        leadership: Callable[[], Leadership],
        connect: Callable[[NodeId], Awaitable[Connection]],
        clock: Clock,
        log: Lines,
    ) -> None:
        def fence() -> Revision | None:
            led = leadership()
            return led.fence if led.leader == node else None

        self.catalogue = make_catalogue()
        self.desk = GateDesk(
            store=store,
            state=cache,
            catalogue=self.catalogue,
            clock=clock,
            new_id=functools.partial(new_id, clock),
            fence=fence,
            log=log,
        )
        self.link = GateLink(
            node=node,
            leader=lambda: leadership().leader,
            gate=Gate(self.desk, AnswerBook(store, clock)),
            votes=Votes(self.desk),
            connect=connect,
            arrived=cache.wait_for,
        )
        self.services: tuple[LeaderService, ...] = (
            Applier(self.desk).run,
            Guards(self.desk, figures).run,
            AuditChain(store, functools.partial(_keep, content)).run,
        )


async def _keep(content: ContentStore, raw: bytes) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield raw

    sha256 = await content.put(chunks())
    await content.pin(sha256, AUDIT_OWNER)
    return sha256
