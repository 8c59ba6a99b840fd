"""A conversation's shelf over the connection of one turn: what control offers, and what the reasoner makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from agent_api.control_api.turns import SHELF_DELETE, SHELF_GET, SHELF_LIST, SHELF_PUT, Names, Shelved
from controllers.conversations.shelved import ConversationShelf
from runtime.invocation.connection import Connection
from runtime.invocation.incoming import IncomingCall

SHELF_S: Final = 15.0


def shelf_verbs(shelf: ConversationShelf) -> dict[str, Callable[[IncomingCall], Awaitable[bytes]]]:
    """No verb names a conversation: each is of the one that the shelf is bound to."""

    async def put(call: IncomingCall) -> bytes:
        await shelf.put(msgspec.msgpack.decode(call.payload, type=Shelved).items)
        return b""

    async def get(call: IncomingCall) -> bytes:
        return msgspec.msgpack.encode(Shelved(items=await shelf.get(_names(call))))

    async def names(call: IncomingCall) -> bytes:
        found = await shelf.list(next(iter(_names(call)), ""))
        return msgspec.msgpack.encode(Names(names=tuple(found)))

    async def delete(call: IncomingCall) -> bytes:
        await shelf.delete(_names(call))
        return b""

    return {SHELF_PUT: put, SHELF_GET: get, SHELF_LIST: names, SHELF_DELETE: delete}


def _names(call: IncomingCall) -> tuple[str, ...]:
    return msgspec.msgpack.decode(call.payload, type=Names).names


class ConnectedShelf:
    """Implements llm_layer's Shelf in the reasoner. Raises CallFault, also for what control refuses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, items: Mapping[str, bytes]) -> None:
        await self._call(SHELF_PUT, Shelved(items=dict(items)))

    async def get(self, names: Sequence[str]) -> dict[str, bytes]:
        raw = await self._call(SHELF_GET, Names(names=tuple(names)))
        return msgspec.msgpack.decode(raw, type=Shelved).items

    async def list(self, prefix: str) -> list[str]:
        raw = await self._call(SHELF_LIST, Names(names=(prefix,)))
        return list(msgspec.msgpack.decode(raw, type=Names).names)

    async def delete(self, names: Sequence[str]) -> None:
        await self._call(SHELF_DELETE, Names(names=tuple(names)))

    async def _call(self, verb: str, asked: Shelved | Names) -> bytes:
        return await self._connection.call(verb, msgspec.msgpack.encode(asked), deadline_s=SHELF_S)
