"""Conversations as they are read: who may see them, and their turns out of the store and of content."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec
import zstandard

from controllers.conversations.bulk import Bulk
from controllers.conversations.errors import ConversationNotFound
from controllers.conversations.records import CardFate, CardFates, ConversationRecord, TurnRecord, may_see
from controllers.conversations.telling import Event, unpacked
from runtime.consensus.store import KeyValue, Store
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.state import keys


def head_of(item: KeyValue) -> ConversationRecord | None:
    """None for what a newer version wrote."""
    try:
        return msgspec.json.decode(item.value, type=ConversationRecord)
    except msgspec.DecodeError:
        return None


def heads_of(items: Iterable[KeyValue]) -> dict[str, ConversationRecord]:
    """By id. What a newer version wrote is left to it."""
    found = ((keys.parts(item.key)[0], head_of(item)) for item in items)
    return {identity: head for identity, head in found if head is not None}


async def below(store: Store, prefix: str, after: str = "") -> AsyncIterator[KeyValue]:
    """All that is below the prefix, behind that key. Raises StoreFault."""
    more = True
    while more:
        page = await store.range(prefix, after=after)
        for item in page.items:
            yield item
        after, more = page.items[-1].key if page.more else "", page.more


async def heads(store: Store) -> AsyncIterator[tuple[str, ConversationRecord]]:
    """Of all conversations, the oldest first. Raises StoreFault."""
    async for item in below(store, keys.CONVERSATIONS):
        if (head := head_of(item)) is not None:
            yield keys.parts(item.key)[0], head


class ConversationReader:
    def __init__(self, store: Store, bulk: Bulk) -> None:
        self._store = store
        self._bulk = bulk

    async def head(self, identity: str, actor: Actor) -> ConversationRecord:
        """Raises ConversationNotFound, StoreFault."""
        item = (await self._store.get(keys.conversation(identity))).item
        head = head_of(item) if item is not None else None
        if head is None or not may_see(head, actor):
            raise ConversationNotFound(identity)
        return head

    async def turns(self, identity: str, *, after: int) -> AsyncIterator[TurnRecord]:
        """Those behind that number. Raises StoreFault."""
        async for item in below(self._store, keys.turns_of(identity), keys.conversation_turn(identity, after)):
            try:
                yield msgspec.json.decode(item.value, type=TurnRecord)
            except msgspec.DecodeError:
                continue

    async def events(self, turn: TurnRecord) -> tuple[Event, ...] | None:
        """None where they cannot be had: content that is nowhere now."""
        try:
            raw = await self._bulk.read(turn.events_sha256) if turn.events_sha256 else turn.events
            return unpacked(raw)
        except (RuntimeFault, OSError, msgspec.DecodeError, zstandard.ZstdError):
            return None

    async def fates(self, identity: str) -> dict[str, CardFate]:
        """By the card's id. Raises StoreFault."""
        item = (await self._store.get(keys.conversation_cards(identity))).item
        try:
            return msgspec.json.decode(item.value, type=CardFates).cards if item is not None else {}
        except msgspec.DecodeError:
            return {}
