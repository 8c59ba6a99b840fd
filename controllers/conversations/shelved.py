"""Where graphs that answer keep how far they came: bytes by name, of one conversation and no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from controllers.conversations.bulk import Bulk, pin_of
from controllers.conversations.errors import ConversationNotFound, NameInvalid, ShelfFull
from controllers.conversations.limits import (
    ATTEMPTS_MAX,
    SHELF_BYTES_MAX,
    SHELF_ITEM_BYTES_MAX,
    SHELF_NAMES_MAX,
    SHELVED_BYTES_MAX,
)
from controllers.conversations.reading import below, head_of
from controllers.conversations.records import ConversationRecord
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Compare, Delete, KeyValue, Operation, Put, Revision, Store, led_by, unchanged
from runtime.state import keys
from runtime.state.values import encode

HERE: Final = b"h"  # the rest of the value is what was put
CONTENT: Final = b"c"  # the rest is its hash
_NAME: Final = re.compile(r"[A-Za-z0-9._~%:-]{1,200}(/[A-Za-z0-9._~%:-]{1,200}){0,7}")
NAME_CHARS_MAX: Final = 400  # a key has 512


class ConversationShelf:
    """Implements what the reasoner's shelf stands on, for as long as one turn lasts."""

    def __init__(self, *, store: Store, bulk: Bulk, led: Callable[[], Revision], conversation: str) -> None:
        self._store = store
        self._bulk = bulk
        self._led = led
        self._conversation = conversation

    async def put(self, items: Mapping[str, bytes]) -> None:
        """All of them or none. Raises ShelfFull, NameInvalid, ConversationNotFound, ContentFault, StoreFault."""
        values = {self._key(name): await self._value(name, raw) for name, raw in items.items()}
        await self._change(values, ())

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that there are. Raises NameInvalid, ContentNotFound, StoreFault."""
        found = {}
        for name in names:
            item = (await self._store.get(self._key(name))).item
            if item is not None:
                found[name] = await self._read(name, item.value)
        return found

    async def list(self, prefix: str) -> Sequence[str]:
        """Names in their order. Raises StoreFault."""
        own = keys.checkpoints_of(self._conversation)
        names = [item.key.removeprefix(own) async for item in below(self._store, own)]
        return [name for name in names if name.startswith(prefix)]

    async def delete(self, names: Sequence[str]) -> None:
        """Those that there are not are no error. Raises NameInvalid, ConversationNotFound, StoreFault."""
        await self._change({}, [self._key(name) for name in names])

    def _key(self, name: str) -> str:
        if len(name) > NAME_CHARS_MAX or _NAME.fullmatch(name) is None:
            raise NameInvalid(name)
        return keys.checkpoint(self._conversation, name)

    async def _value(self, name: str, raw: bytes) -> bytes:
        if len(raw) > SHELVED_BYTES_MAX:
            raise ShelfFull(f"{len(raw)} bytes; one item has {SHELVED_BYTES_MAX} at most")
        if len(raw) <= SHELF_ITEM_BYTES_MAX:
            return HERE + raw
        return CONTENT + (await self._bulk.keep(_named(name) + raw)).encode()

    async def _read(self, name: str, value: bytes) -> bytes:
        sha256 = content_of(value)
        return (await self._bulk.read(sha256)).removeprefix(_named(name)) if sha256 else value[1:]

    async def _change(self, values: Mapping[str, bytes], gone: Sequence[str]) -> None:
        head_key = keys.conversation(self._conversation)
        for _ in range(ATTEMPTS_MAX):
            item = (await self._store.get(head_key)).item
            head = head_of(item) if item is not None else None
            if item is None or head is None:
                raise ConversationNotFound(self._conversation)
            own = keys.checkpoints_of(self._conversation)
            before = {each.key: each async for each in below(self._store, own)}
            after = {key: each.value for key, each in before.items() if key not in gone} | dict(values)
            compare: list[Compare] = [led_by(self._led()), unchanged(head_key, item.mod_revision)]
            operations = [_weighed(head_key, head, before, after), *_operations(self._conversation, before, after)]
            if (await self._store.txn(compare, operations)).succeeded:
                return
        raise NotLeader("")


def _operations(conversation: str, before: Mapping[str, KeyValue], after: Mapping[str, bytes]) -> Iterator[Operation]:
    """With the pins of content: of what is named then, and no more of what is not. No two names have the same."""
    known = {key: each.value for key, each in before.items()}
    named = {content_of(value) for value in after.values()} - {""}
    loose = {content_of(value) for value in known.values()} - named - {""}
    yield from (Put(key=key, value=value) for key, value in after.items() if known.get(key) != value)
    yield from (Delete(key=key) for key in known if key not in after)
    yield from (Put(key=pin_of(conversation, each), value=b"") for each in sorted(named))
    yield from (Delete(key=pin_of(conversation, each)) for each in sorted(loose))


def _weighed(key: str, head: ConversationRecord, before: Mapping[str, KeyValue], after: Mapping[str, bytes]) -> Put:
    """The head with what it weighs then. Raises ShelfFull."""
    size = sum(len(value) for value in after.values())
    if len(after) > SHELF_NAMES_MAX or size > SHELF_BYTES_MAX:
        most = f"{SHELF_NAMES_MAX} of {SHELF_BYTES_MAX}"
        raise ShelfFull(f"{len(after)} items of {size} bytes; a conversation keeps {most} at most")
    change = size - sum(len(each.value) for each in before.values())
    return Put(key=key, value=encode(msgspec.structs.replace(head, bytes=max(0, head.bytes + change))))


def _named(name: str) -> bytes:
    """In front of content, so that no two names have the same: a pin is of one of them."""
    return name.encode() + b"\x00"


def content_of(value: bytes) -> str:
    """The hash of an item's content; empty where the value itself has it."""
    return value[1:].decode("ascii", "replace") if value[:1] == CONTENT else ""
