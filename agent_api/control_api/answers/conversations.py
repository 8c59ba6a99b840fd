"""Answers about conversations: from the store, to their owners and to admins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Forbidden
from controllers.conversations.limits import SHOWN_BYTES_MAX
from controllers.conversations.note import KeptTurn, note
from controllers.conversations.queries import (
    CardShown,
    ConversationListRequest,
    ConversationNote,
    ConversationPage,
    ConversationRequest,
    ConversationRow,
    ConversationShown,
    ConversationShowRequest,
    TurnShown,
)
from controllers.conversations.reading import ConversationReader, heads
from controllers.conversations.records import CardFate, ConversationRecord
from controllers.gate.proposals import read_proposal
from runtime.operations.actor import Actor, Role
from runtime.operations.queries.page import page_of
from runtime.state import keys


class ConversationAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._reader = ConversationReader(parts.store, parts.bulk)

    async def conversations(self, request: ConversationListRequest, actor: Actor) -> ConversationPage:
        """Raises Forbidden, StoreFault."""
        if request.all and not actor.may(Role.ADMIN):
            raise Forbidden("conversations of others are for admins")
        found = [each async for each in heads(self._parts.store) if request.all or each[1].owner == actor.id]
        page, cursor = page_of(found, lambda each: (each[1].last_unix_ms, each[0]), request, newest_first=True)
        return ConversationPage(items=tuple(_row(*each) for each in page), next=cursor)

    async def show(self, request: ConversationShowRequest, actor: Actor) -> ConversationShown:
        """Raises ConversationNotFound, StoreFault."""
        head = await self._reader.head(request.id, actor)
        turns, size = [], 0
        async for turn, events in self._kept(request.id, after=request.after):
            plain = {name: getattr(turn, name) for name in _TURN}
            turns.append(TurnShown(**plain, events=events or (), lost=events is None))
            size += len(msgspec.json.encode(events))
            if len(turns) >= request.limit or size > SHOWN_BYTES_MAX:
                break
        fates = await self._reader.fates(request.id)
        return ConversationShown(
            id=request.id,
            title=head.title,
            owner=head.owner,
            created_unix_ms=head.created_unix_ms,
            last_unix_ms=head.last_unix_ms,
            tainted=head.tainted,
            turns=tuple(turns),
            cards=tuple(self._card(*each) for each in fates.items()),
            more=max(0, head.turns - (turns[-1].number if turns else head.turns)),
        )

    async def export(self, request: ConversationRequest, actor: Actor) -> ConversationNote:
        """Raises ConversationNotFound, StoreFault."""
        head = await self._reader.head(request.id, actor)
        turns = [each async for each in self._kept(request.id, after=0)]
        fates = await self._reader.fates(request.id)
        states = {each.proposal: self._state(each.proposal) for each in fates.values() if each.proposal}
        return ConversationNote(id=request.id, title=head.title, markdown=note(request.id, head, turns, fates, states))

    async def _kept(self, identity: str, *, after: int) -> AsyncIterator[KeptTurn]:
        async for turn in self._reader.turns(identity, after=after):
            yield turn, await self._reader.events(turn)

    def _card(self, identity: str, fate: CardFate) -> CardShown:
        state = self._state(fate.proposal) if fate.proposal else fate.outcome
        return CardShown(id=identity, state=state, **msgspec.structs.asdict(fate))

    def _state(self, proposal: str) -> str:
        """Empty where it is gone: ended ones go after a while."""
        item = self._parts.view.cache.get(keys.proposal(proposal))
        found = read_proposal(item.value) if item is not None else None
        return str(found.state) if found is not None else ""


_TURN: Final = (
    "number",
    "by",
    "text",
    "state",
    "began_unix_ms",
    "ended_unix_ms",
    "answered_by",
    "kind",
    "tainted",
    "left_out",
)


def _row(identity: str, head: ConversationRecord) -> ConversationRow:
    return ConversationRow(
        id=identity,
        title=head.title,
        owner=head.owner,
        created_unix_ms=head.created_unix_ms,
        last_unix_ms=head.last_unix_ms,
        turns=head.turns,
        answering=bool(head.open),
        tainted=head.tainted,
    )
