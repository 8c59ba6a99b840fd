"""Conversations, wired for the control process: who writes them while this node leads, and what reads them on any."""

from __future__ import annotations

from agent_api.assemble.gate import GateParts
from controllers.conversations.book import ConversationBook
from controllers.conversations.bulk import ContentBulk
from controllers.conversations.keeping import Keeper
from controllers.conversations.surplus import Limits
from controllers.gate.desk import GateDesk
from runtime.cluster.leader_services import LeaderService
from runtime.config.settings import NodeSettings
from runtime.content.port import ContentStore
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.secrecy import takes_secrets


class ConversationParts:
    """`services` run while this node leads."""

    def __init__(self, *, gate: GateParts, content: ContentStore, limits: Limits) -> None:
        desk = gate.desk
        self.bulk = ContentBulk(content)
        self.book = ConversationBook(
            store=desk.store,
            bulk=self.bulk,
            led=desk.fence,
            new_id=desk.new_id,
            secrecy=DeskSecrecy(desk),
            clock=desk.clock,
            log=desk.log,
        )
        self.keeper = Keeper(self.book, store=desk.store, state=desk.state, clock=desk.clock, limits=limits)
        self.services: tuple[LeaderService, ...] = (self.keeper.run,)


def limits_of(settings: NodeSettings) -> Limits:
    return Limits(conversations=settings.conversations_max, days=settings.conversation_days)


class DeskSecrecy:
    """Implements Secrecy: what operations declare of their members."""

    def __init__(self, desk: GateDesk) -> None:
        self._catalogue = desk.catalogue
        self.told = desk.told

    def takes(self, operation: str, words: str) -> bool | None:
        try:
            return takes_secrets(self._catalogue.find(operation), words)
        except OperationUnknown:
            return None
