"""The database's server part: a system slice that every gateway hosts inline, over the cluster's store.

An item and its index entries change in one transaction that compares the item's revision, so entries always belong to
the item as it stands. The store gives each slice 16 MiB and applies each change of a session once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from infra.database import naming
from infra.database.errors import Conflict, DatabaseUnavailable, ItemTooLarge, KeyInvalid, QuotaExceeded
from infra.database.limits import (
    DATABASE_SLICE,
    DATABASE_VERSION,
    INDEXES_MAX,
    ITEM_BYTES_MAX,
    PAGE_BYTES_MAX,
    PAGE_ITEMS_MAX,
)
from infra.database.serving import ANY_REVISION, IndexAddress, ItemAddress, ItemFound, ItemPage, StoreOpener
from runtime.consensus import errors as e
from runtime.consensus.store import Compare, Delete, KeyValue, Operation, Put, Store, unchanged
from runtime.names import is_name
from runtime.sdk.marks import idempotent, raises, slice_

CONCURRENCY_MAX: Final = 1_024  # x 64 KiB is 64 MiB of items on their way, at worst
ATTEMPTS_MAX: Final = 8  # a put meets another change of the same item; each round one of them gets through
READ_AT_ONCE: Final = 32  # x 64 KiB is 2 MiB


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What the store keeps for an item. Its index values are there so that a change finds the entries to remove."""

    raw: bytes
    indexes: dict[str, str]


_read: Final = msgspec.msgpack.Decoder(Record).decode
_write: Final = msgspec.msgpack.Encoder().encode


@slice_(name=DATABASE_SLICE, version=DATABASE_VERSION, concurrency_max=CONCURRENCY_MAX)
class DatabaseSlice:
    """Answers for the collections of all slices."""

    def __init__(self, store: StoreOpener) -> None:
        self._opener = store

    @property
    def _store(self) -> Store:
        return self._opener.open()

    async def stop(self) -> None:
        await self._opener.close()

    @idempotent
    @raises(KeyInvalid, DatabaseUnavailable)
    async def get(self, address: ItemAddress) -> ItemFound | None:
        item = await self._read(_item_key(address))
        return None if item is None else ItemFound(address.key, _read(item.value).raw, item.mod_revision)

    @raises(KeyInvalid, ItemTooLarge, QuotaExceeded, Conflict, DatabaseUnavailable)
    async def put(self, address: ItemAddress, raw: bytes, indexes: dict[str, str]) -> int:
        for _ in range(ATTEMPTS_MAX):
            before = await self._read(_item_key(address))
            revision = await self._change(address, before, Record(raw, indexes))
            if revision:
                return revision
        raise Conflict(key=address.key)

    @raises(KeyInvalid, ItemTooLarge, QuotaExceeded, DatabaseUnavailable)
    async def compare_and_set(self, address: ItemAddress, raw: bytes, indexes: dict[str, str], revision: int) -> bool:
        before = await self._read(_item_key(address)) if revision else None
        if (before.mod_revision if before else 0) != revision:
            return False
        return await self._change(address, before, Record(raw, indexes)) > 0

    @raises(KeyInvalid, Conflict, DatabaseUnavailable)
    async def delete(self, address: ItemAddress, revision: int) -> bool:
        for _ in range(ATTEMPTS_MAX):
            before = await self._read(_item_key(address))
            if before is None or revision not in (ANY_REVISION, before.mod_revision):
                return False
            if await self._change(address, before, None):
                return True
        raise Conflict(key=address.key)

    @idempotent
    @raises(KeyInvalid, DatabaseUnavailable)
    async def query(self, address: IndexAddress, limit: int, after: str) -> ItemPage:
        """Items that changed between the reading of the index and their own are left out when they no longer fit."""
        _check_names(address.scope, address.collection, address.index)
        below = naming.entries_below(address.scope, address.collection, address.index, address.value)
        behind = below + naming.escaped_key(after) if after else ""
        with _store_faults(changing=False):
            entries = await self._store.range(below, after=behind, limit=max(1, min(limit, PAGE_ITEMS_MAX)))
        keys = [naming.key_of(entry.key) for entry in entries.items]
        items: list[ItemFound] = []
        size = read = 0
        while read < len(keys) and size < PAGE_BYTES_MAX:
            batch = keys[read : read + READ_AT_ONCE]
            found = await self._fitting(address, batch)
            size += sum(len(item.raw) for item in found)
            items += found
            read += len(batch)
        more = entries.more or read < len(keys)
        return ItemPage(tuple(items), keys[read - 1] if more and read else "")

    # Inside.

    async def _read(self, store_key: str) -> KeyValue | None:
        with _store_faults(changing=False):
            return (await self._store.get(store_key)).item

    async def _fitting(self, address: IndexAddress, keys: list[str]) -> list[ItemFound]:
        places = (naming.item_key(address.scope, address.collection, key) for key in keys)
        fitting = []
        for key, item in zip(keys, await asyncio.gather(*map(self._read, places)), strict=True):
            record = _read(item.value) if item is not None else None
            if item is not None and record is not None and record.indexes.get(address.index) == address.value:
                fitting.append(ItemFound(key, record.raw, item.mod_revision))
        return fitting

    async def _change(self, address: ItemAddress, before: KeyValue | None, after: Record | None) -> int:
        """The new revision; 0 when the item no longer stands as `before`."""
        item_key = _item_key(address)
        old = _entries(address, _read(before.value)) if before is not None else set()
        new = _entries(address, after) if after is not None else set()
        operations: list[Operation] = [Delete(key=key) for key in sorted(old - new)]
        operations += [Put(key=key, value=b"") for key in sorted(new - old)]
        operations.append(Delete(key=item_key) if after is None else Put(key=item_key, value=_encoded(address, after)))
        expected: list[Compare] = [unchanged(item_key, before.mod_revision) if before else _absent(item_key)]
        with _store_faults(changing=True):
            result = await self._store.txn(expected, operations)
        return result.revision if result.succeeded else 0


def _absent(store_key: str) -> Compare:
    return Compare(key=store_key, field="version", operand=0)


def _item_key(address: ItemAddress) -> str:
    _check_names(address.scope, address.collection)
    return naming.item_key(address.scope, address.collection, address.key)


def _check_names(scope: str, *names: str) -> None:
    """The proxies check as well; a worker may send anything."""
    if not is_name(scope):
        raise KeyInvalid(key=scope[:80], reason="it names no slice")
    for name in names:
        if not naming.is_collection_name(name):
            raise KeyInvalid(key=name[:80], reason="it can name no collection or index")


def _entries(address: ItemAddress, record: Record) -> set[str]:
    if len(record.indexes) > INDEXES_MAX:
        raise KeyInvalid(key=address.key[:80], reason=f"more than {INDEXES_MAX} indexes")
    _check_names(address.scope, *record.indexes)
    key = naming.escaped_key(address.key)
    return {
        naming.entries_below(address.scope, address.collection, index, value) + key
        for index, value in record.indexes.items()
    }


def _encoded(address: ItemAddress, record: Record) -> bytes:
    encoded = _write(record)
    if len(encoded) > ITEM_BYTES_MAX:
        raise ItemTooLarge(key=address.key, size=len(encoded), size_max=ITEM_BYTES_MAX)
    return encoded


@contextmanager
def _store_faults(*, changing: bool) -> Iterator[None]:
    """Says in the database's words what the store says in its own."""
    try:
        yield
    except e.QuotaExceeded as fault:
        raise QuotaExceeded(reason=str(fault)) from fault
    except (e.NoQuorum, e.Overloaded) as fault:
        raise DatabaseUnavailable(reason=str(fault)) from fault
    except (e.StoreUnavailable, e.SessionLost) as fault:
        raise DatabaseUnavailable(reason=str(fault), may_have_applied=changing) from fault
