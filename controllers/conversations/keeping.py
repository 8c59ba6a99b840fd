"""The leader keeps conversations in bounds, takes away what is left of deleted ones, and says of turns that a leader
before it was answering that they broke off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol

import anyio
import msgspec

from controllers.conversations.book import ConversationBook
from controllers.conversations.bulk import pin_of
from controllers.conversations.reading import below, heads_of
from controllers.conversations.records import ConversationRecord, TurnRecord
from controllers.conversations.shelved import content_of
from controllers.conversations.surplus import Limits, surplus
from runtime.clock import Clock
from runtime.consensus.store import Compare, Delete, KeyValue, Operation, Put, Revision, Store, led_by, unchanged
from runtime.state import keys
from runtime.state.values import encode

LOOK_S: Final = 10.0
"""At 100 new conversations a second, each of some 2 KiB, 2 MiB come between two looks: quotas leave 4."""
_BEHIND: Final = "0"
"""Stands right behind the "/" that ends an id."""


class Heads(Protocol):
    """This node's cache, which must hold `conversation/`."""

    def get(self, key: str) -> KeyValue | None: ...

    def items(self, prefix: str) -> list[KeyValue]: ...

    async def wait_for(self, revision: Revision) -> None: ...


class Keeper:
    """`run` is a leader service. `limits` may be set anew at any time."""

    def __init__(self, book: ConversationBook, *, store: Store, state: Heads, clock: Clock, limits: Limits) -> None:
        self._book = book
        self._store = store
        self._state = state
        self._clock = clock
        self.limits = limits

    async def run(self, fence: Revision) -> None:
        await self._state.wait_for(fence)
        known: set[str] | None = None
        while True:
            known = await self.look(fence, known)
            await anyio.sleep(LOOK_S)

    async def look(self, fence: Revision, known: set[str] | None) -> set[str]:
        """Ids of those that there are. known: those of the look before, None at the first. Raises StoreFault."""
        await self._mend(fence)
        await self._trim(fence)
        present = set(self._heads())
        if known is None or known - present:
            await self._sweep(fence)
        return present

    def _heads(self) -> dict[str, ConversationRecord]:
        return heads_of(self._state.items(keys.CONVERSATIONS))

    async def _mend(self, fence: Revision) -> None:
        """Turns that nobody answers any more."""
        for identity, head in self._heads().items():
            if not head.open or identity in self._book.answering:
                continue
            item = self._state.get(keys.conversation(identity))
            if item is not None:
                closed = Put(key=item.key, value=encode(msgspec.structs.replace(head, open=0)))
                compare = [led_by(fence), unchanged(item.key, item.mod_revision)]
                await self._store.txn(compare, [closed, *await self._book.mended(identity, head)])

    async def _trim(self, fence: Revision) -> None:
        now = self._clock.unix_ms()
        for identity in surplus(self._heads(), self.limits, now_unix_ms=now, answering=self._book.answering):
            item = self._state.get(keys.conversation(identity))
            if item is not None:
                await self._drop(identity, [led_by(fence), unchanged(item.key, item.mod_revision)])

    async def _sweep(self, fence: Revision) -> None:
        """What is left of those that were deleted."""
        for prefix in (keys.CONVERSATION_TURNS, keys.CHECKPOINTS):
            async for identity in self._identities(prefix):
                key = keys.conversation(identity)
                if (await self._store.get(key)).item is None:
                    await self._drop(identity, [led_by(fence), unchanged(key, Revision(0))])

    async def _identities(self, prefix: str) -> AsyncIterator[str]:
        """One small read for each."""
        after = ""
        while items := (await self._store.range(prefix, after=after, limit=1)).items:
            identity = keys.parts(items[0].key)[0]
            yield identity
            after = f"{prefix}{identity}{_BEHIND}"

    async def _drop(self, identity: str, compare: list[Compare]) -> None:
        """With all that is its own. It stays where the comparison fails: it was gone on with."""
        pins = {each async for each in self._contents(identity)}
        operations: list[Operation] = [
            Delete(key=keys.conversation(identity)),
            Delete(key=keys.conversation_cards(identity)),
            Delete(key=keys.turns_of(identity), prefix=True),
            Delete(key=keys.checkpoints_of(identity), prefix=True),
            *(Delete(key=pin_of(identity, sha256)) for sha256 in sorted(pins)),
        ]
        await self._store.txn(compare, operations)

    async def _contents(self, identity: str) -> AsyncIterator[str]:
        """Hashes of what of it is content: 200 turns and 64 checkpoints at most; a transaction has 512 operations."""
        async for item in below(self._store, keys.turns_of(identity)):
            try:
                sha256 = msgspec.json.decode(item.value, type=TurnRecord).events_sha256
            except msgspec.DecodeError:
                continue
            if sha256:
                yield sha256
        async for item in below(self._store, keys.checkpoints_of(identity)):
            if sha256 := content_of(item.value):
                yield sha256
