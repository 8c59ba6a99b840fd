"""Investigations that no model could conclude are gone on with when one answers again: the leader asks for one word now
and then, and whoever has waited longest is next."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Protocol

import anyio
import msgspec

from controllers.conversations.book import Begun, ConversationBook
from controllers.conversations.errors import ConversationBusy, ConversationFault
from controllers.conversations.postponing import Waiting, has_lapsed, longest, pause_s
from controllers.conversations.reading import heads_of
from controllers.conversations.records import Postponed
from controllers.gate.desk import GateDesk
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.operations.state import PlanState
from runtime.state import keys

LOOK_S: Final = 5.0
GIVEN_UP: Final = "No model answered for an hour, so this investigation is given up. Ask again if it still matters."
_ENDED: Final = {
    "type": "done",
    "answered_by": "rules",
    "kind": "followed",
    "asked": 0,
    "taken_ms": 0.0,
    "model": "",
    "tokens": 0,
    "cost_micros": 0,
    "tainted": False,
}


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
        heads = heads_of(self._desk.state.items(keys.CONVERSATIONS))
        waiting = [each for each in longest(heads) if each.conversation not in self._book.answering]
        now = self._desk.clock.unix_ms()
        for each in waiting:
            if has_lapsed(each.postponed, now):
                await self._lapse(each)
        left = [each for each in waiting if not has_lapsed(each.postponed, now)]
        if not left:
            self._failures = 0
        elif self._desk.clock.monotonic_s() >= self._quiet_until_s:
            await self._next(left[0])

    def _asker(self, postponed: Postponed) -> Actor | None:
        """With the rights of now."""
        return self._desk.still(PlanState(self._desk.state), postponed.actor)

    async def _lapse(self, waiting: Waiting) -> None:
        """Told as a turn of the conversation, whose end takes it off: as rules had promised it there."""
        conversation, postponed = waiting
        actor = self._asker(postponed)
        if actor is None:
            await self._book.give_up(conversation, postponed)
            return
        text = f"(given up) {await self._book.question(conversation, postponed.number)}"
        try:
            async with aclosing(self._book.recorded(text, conversation, actor, _given_up, goes_on=True)) as events:
                async for _ in events:
                    pass
        except ConversationBusy:
            return  # it is told after what is being answered there
        except ConversationFault:
            await self._book.give_up(conversation, postponed)

    async def _next(self, waiting: Waiting) -> None:
        conversation, postponed = waiting
        actor = self._asker(postponed)
        if actor is None:
            await self._book.give_up(conversation, postponed)
            return
        try:
            went_well = await self._goes_well(waiting, actor)
        except ConversationBusy:
            return  # somebody spoke there while a model was asked for its word
        except ConversationFault:  # it is full, gone, or somebody else's by now
            await self._book.give_up(conversation, postponed)
            return
        self._failures = 0 if went_well else self._failures + 1
        self._quiet_until_s = self._desk.clock.monotonic_s() + (0.0 if went_well else pause_s(self._failures - 1))

    async def _goes_well(self, waiting: Waiting, actor: Actor) -> bool:
        """Raises ConversationFault."""
        conversation, postponed = waiting
        try:
            return await self._reasoner.model_answers(
                actor, incident=postponed.incident
            ) and await self._reasoner.investigate(conversation, postponed, actor)
        except ConversationFault:
            raise
        except RuntimeFault as fault:
            self._desk.log.warning("investigation_not_gone_on_with", conversation=conversation, reason=str(fault))
            return False


async def _given_up(_begun: Begun) -> AsyncGenerator[bytes]:
    """As the process that answers would tell it, which is not started for this."""
    yield msgspec.json.encode({"type": "text", "text": GIVEN_UP, "evidence": ()})
    yield msgspec.json.encode(_ENDED)
