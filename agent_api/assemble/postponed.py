"""Investigations that no model could conclude are gone on with when one answers again: the leader asks for one word now
and then, and whoever has waited longest is next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio

from controllers.conversations.book import ConversationBook
from controllers.conversations.errors import ConversationFault
from controllers.conversations.postponing import Waiting, has_lapsed, longest, pause_s
from controllers.conversations.reading import head_of
from controllers.conversations.records import ConversationRecord, Postponed
from controllers.gate.desk import GateDesk
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.operations.state import PlanState
from runtime.state import keys

LOOK_S: Final = 5.0


class Investigating(Protocol):
    """Implemented by ReasonerLink. Both raise ReasonerAbsent."""

    async def model_answers(self, actor: Actor, *, incident: bool) -> bool: ...

    async def investigate(self, conversation: str, postponed: Postponed, actor: Actor) -> bool: ...


class PostponedWork:
    """`run` is a leader service. What waits is in the store; only the pauses begin anew with each leader."""

    def __init__(
        self,
        *,
        desk: GateDesk,
        wait_for: Callable[[Revision], Awaitable[None]],
        book: ConversationBook,
        reasoner: Investigating,
    ) -> None:
        self._desk = desk
        self._wait_for = wait_for
        self._book = book
        self._reasoner = reasoner
        self._failures = 0
        self._quiet_until_s = 0.0

    async def run(self, fence: Revision) -> None:
        self._failures, self._quiet_until_s = 0, 0.0
        await self._wait_for(fence)
        while True:
            await self.look()
            await anyio.sleep(LOOK_S)

    async def look(self) -> None:
        """One investigation at most. Raises StoreFault."""
        waiting = [each for each in longest(self._heads()) if each.conversation not in self._book.answering]
        now = self._desk.clock.unix_ms()
        for each in waiting:
            if has_lapsed(each.postponed, now):
                await self._book.give_up(each.conversation, each.postponed)
        left = [each for each in waiting if not has_lapsed(each.postponed, now)]
        if not left:
            self._failures = 0
        elif self._desk.clock.monotonic_s() >= self._quiet_until_s:
            await self._next(left[0])

    def _heads(self) -> dict[str, ConversationRecord]:
        found = ((keys.parts(item.key)[0], head_of(item)) for item in self._desk.state.items(keys.CONVERSATIONS))
        return {identity: head for identity, head in found if head is not None}

    async def _next(self, waiting: Waiting) -> None:
        """With the rights that whoever asked has now."""
        conversation, postponed = waiting
        actor = self._desk.still(PlanState(self._desk.state), postponed.actor)
        if actor is None:
            await self._book.give_up(conversation, postponed)
            return
        try:
            went_well = await self._reasoner.model_answers(
                actor, incident=postponed.incident
            ) and await self._reasoner.investigate(conversation, postponed, actor)
        except ConversationFault:  # it is full, gone, or somebody else's by now
            await self._book.give_up(conversation, postponed)
            return
        except RuntimeFault as fault:
            self._desk.log.warning("investigation_not_gone_on_with", conversation=conversation, reason=str(fault))
            went_well = False
        self._failures = 0 if went_well else self._failures + 1
        self._quiet_until_s = self._desk.clock.monotonic_s() + (0.0 if went_well else pause_s(self._failures - 1))
