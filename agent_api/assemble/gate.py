"""The gate and its leader services, wired for the control process."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import anyio

from agent_api.catalogue import make_catalogue
from controllers.gate.answers import AnswerBook
from controllers.gate.applying import Applier
from controllers.gate.chaining import AuditChain
from controllers.gate.desk import GateDesk
from controllers.gate.gate import Gate
from controllers.gate.guarding import Guards
from controllers.gate.joining import StoreAuditLog
from controllers.gate.remote import GateLink
from controllers.gate.reviews import Reviews
from controllers.gate.trimming import Trimmer
from controllers.gate.verifying import AuditReader
from controllers.gate.voting import Votes
from runtime.clock import Clock
from runtime.cluster.leader_services import LeaderService
from runtime.cluster.membership import Lines
from runtime.cluster.store_membership import Group, StoreMembership
from runtime.consensus.cache import StoreCache
from runtime.consensus.store import Leadership, Revision, Store
from runtime.content.errors import ContentNotFound
from runtime.content.port import ContentStore
from runtime.content.store_backups import StoreBackups
from runtime.invocation.connection import Connection
from runtime.names import NodeId, Sha256
from runtime.operations.identity import new_id
from runtime.security.session_records import SessionRecords, SigningRotation
from runtime.state import keys
from runtime.telemetry.alerts.figures import FigureSource

PREFIXES: Final = (
    keys.POLICY,
    keys.PROPOSALS,
    keys.PROPOSALS_LIVE,
    keys.PROPOSALS_OPEN,
    keys.PROPOSALS_WHOLE,
    keys.UNDO,
    keys.REVIEWS,
    keys.RECENT,
    keys.FREEZES,
    keys.INCIDENTS,
    keys.PHRASES,
    keys.CONVERSATIONS,
    keys.CONVERSATION_CARDS,
    keys.MARKS_TURN,
    keys.AGENT_TURNS,
    keys.GUARDS,
    keys.PRINCIPALS,
    keys.PRINCIPALS_TURN,
    keys.API_KEYS,
    keys.CONFIG,
    keys.ALERT_THRESHOLDS,
    keys.ALERT_RULES,
    keys.ALERTS,
    keys.ALERT_SILENCES,
    keys.ALERT_RECEIVERS,
    keys.ALERT_ROUTES,
    keys.ALERTS_TOLD,
    keys.ALERT_TROUBLES,
    keys.ALERT_TESTS,
    keys.STORE_BACKUPS,
    keys.STORE_MEMBERS,
    keys.STORE_MEMBER_WISHES,
    keys.SESSION_SIGNING,
    keys.SESSIONS_ENDED,
    keys.SCALING_CONFIGS,
    keys.SCALING_PINS,
    keys.SCALING_TROUBLES,
    keys.SCALING_ODDITY,
    keys.NODE_REQUESTS,
    keys.NODE_NUMBER,
    keys.NODE_TROUBLE,
    keys.FORECAST_MODELS,
    keys.FORECAST_ACTIVE,
    keys.FORECAST_STATE,
    keys.FORECAST_TRAINING,
    keys.FORECAST_BANDS,
    keys.RUNS,
    keys.RUN_ORDERS,
    keys.RUN_SIGNALS,
    keys.RUN_LOCKS,
)
"""What the gate and the API read, beside what deployment reads."""
AUDIT_OWNER: Final = "audit"
COPIES_MIN: Final = 2


class GateParts:
    """`link` is the Dispatcher of this node; `services` run while it leads."""

    def __init__(
        self,
        *,
        node: NodeId,
        store: Group,
        cache: StoreCache,
        content: ContentStore,
        figures: FigureSource,
        leadership: Callable[[], Leadership],
        connect: Callable[[NodeId], Awaitable[Connection]],
        dial_store: Callable[[], Awaitable[Connection]],
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
            reviews=Reviews(self.desk),
            now=lambda: cache.revision,
            connect=connect,
            arrived=cache.wait_for,
        )
        self.services: tuple[LeaderService, ...] = (
            Applier(self.desk).run,
            Guards(self.desk, figures).run,
            Trimmer(self.desk).run,
            AuditChain(store, functools.partial(_keep, content, store), log).run,
            SigningRotation(SessionRecords(store=store, state=cache, clock=clock)).run,
            StoreBackups(store=store, state=cache, content=content, dial=dial_store, clock=clock).run,
            StoreMembership(store=store, state=cache, log=log).run,
        )
        self.audit = AuditReader(store, functools.partial(_load, content))
        self.audit_log = StoreAuditLog(store)
        """For playbooks, controllers and the reasoner."""


async def _keep(content: ContentStore, store: Store, raw: bytes) -> str:
    """Raises ContentNotFound while no second node has it: the store's own copies must not go before."""

    async def chunks() -> AsyncIterator[bytes]:
        yield raw

    sha256 = await content.put(chunks())
    await content.pin(sha256, AUDIT_OWNER)
    live = len((await store.range(keys.NODES_LIVE)).items)
    copies = len((await store.range(f"{keys.CONTENT}{sha256}/")).items)
    if copies < min(COPIES_MIN, live):
        raise ContentNotFound(sha256, f"only {copies} of {COPIES_MIN} nodes have it so far")
    return sha256


async def _load(content: ContentStore, sha256: str) -> bytes:
    return await anyio.Path(await content.get(Sha256(sha256))).read_bytes()
