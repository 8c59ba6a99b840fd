"""Snapshots of the store as content: a leader service takes those that are wanted and lets the oldest go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import msgspec

from runtime.clock import Clock
from runtime.consensus.backup_stream import snapshot_chunks
from runtime.consensus.cache import StoreCache
from runtime.consensus.store import LEADER_KEY, Delete, KeyValue, Operation, Put, Revision, Store, led_by, unchanged
from runtime.content.port import ContentStore, pin_key
from runtime.errors import RuntimeFault
from runtime.invocation.connection import Connection
from runtime.names import Sha256
from runtime.state import keys
from runtime.state.values import StoreBackup, encode

KEPT: Final = 10  # older ones go; a snapshot is as large as the store at most, 256 MiB


class StoreBackups:
    """`dial` connects to this node's own store. A leader that dies amid one leaves it to the next."""

    def __init__(
        self,
        *,
        store: Store,
        state: StoreCache,
        content: ContentStore,
        dial: Callable[[], Awaitable[Connection]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._state = state
        self._content = content
        self._dial = dial
        self._clock = clock

    async def run(self, fence: Revision) -> None:
        await self._state.wait_for(fence)
        while True:
            seen = self._state.revision
            await self.look(fence)
            await self._state.changed(seen)

    async def look(self, fence: Revision) -> None:
        """Takes what is wanted, then trims. Raises StoreFault."""
        known = [(item, _read(item)) for item in self._state.items(keys.STORE_BACKUPS)]
        for item, backup in known:
            if backup is not None and backup.state == "wanted":
                await self._take(item, backup, fence)
        for item, backup in known[:-KEPT]:
            await self._drop(item, backup, fence)

    async def _take(self, item: KeyValue, backup: StoreBackup, fence: Revision) -> None:
        more: list[Operation] = []
        try:
            taken = await self._taken(backup)
            more.append(Put(key=_pin(taken), value=b""))
        except RuntimeFault as fault:
            taken = msgspec.structs.replace(backup, state="failed", reason=str(fault))
        result = await self._store.txn(
            [led_by(fence), unchanged(item.key, item.mod_revision)], [Put(key=item.key, value=encode(taken)), *more]
        )
        if result.succeeded:
            await self._state.wait_for(result.revision)

    async def _taken(self, backup: StoreBackup) -> StoreBackup:
        revision = (await self._store.get(LEADER_KEY)).revision
        sizes: list[int] = []
        connection = await self._dial()
        try:
            sha256 = await self._content.put(_bytes(connection, revision, sizes))
        finally:
            await connection.close()
        return msgspec.structs.replace(
            backup,
            state="kept",
            sha256=sha256,
            size_bytes=sum(sizes),
            revision=int(revision),
            at_unix_ms=self._clock.unix_ms(),
        )

    async def _drop(self, item: KeyValue, backup: StoreBackup | None, fence: Revision) -> None:
        gone: list[Operation] = [Delete(key=item.key)]
        if backup is not None and backup.state == "kept":
            gone += [Delete(key=key) for key in self._pins_of(backup)]
        await self._store.txn([led_by(fence), unchanged(item.key, item.mod_revision)], gone)

    def _pins_of(self, backup: StoreBackup) -> list[str]:
        """Its own, and those of artifacts that were kept with it."""
        owner = owner_of(backup.number)
        pins = (item.key for item in self._state.items(keys.CONTENT_PINS))
        return [key for key in pins if key == pin_key(Sha256(keys.parts(key)[0]), owner)]


def owner_of(number: int) -> str:
    """Of the pins of what a snapshot needs."""
    return f"store-backup {number}"


async def _bytes(connection: Connection, at_least: Revision, sizes: list[int]) -> AsyncIterator[bytes]:
    async with aclosing(snapshot_chunks(connection, at_least)) as chunks:
        async for chunk, _ in chunks:
            sizes.append(len(chunk))
            yield chunk


def _read(item: KeyValue) -> StoreBackup | None:
    try:
        return msgspec.json.decode(item.value, type=StoreBackup)
    except msgspec.DecodeError:
        return None


def _pin(backup: StoreBackup) -> str:
    return pin_key(Sha256(backup.sha256), owner_of(backup.number))
