"""What the database's server part answers, as the proxies in workers see it."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from infra.database.errors import Conflict, DatabaseUnavailable, ItemTooLarge, KeyInvalid, QuotaExceeded
from runtime.consensus.store import Store
from runtime.sdk.marks import raises
from runtime.sdk.services import service

ANY_REVISION: Final = -1


class ItemFound(msgspec.Struct, frozen=True, array_like=True):
    key: str
    raw: bytes
    revision: int


class ItemPage(msgspec.Struct, frozen=True, array_like=True):
    items: tuple[ItemFound, ...]
    after: str


class ItemAddress(msgspec.Struct, frozen=True, array_like=True):
    """`scope` is the slice whose item it is."""

    scope: str
    collection: str
    key: str


class IndexAddress(msgspec.Struct, frozen=True, array_like=True):
    """`value` is what `naming.index_text` made of it."""

    scope: str
    collection: str
    index: str
    value: str


class DatabaseServing(Protocol):
    """`raw` is the encoded item, `indexes` its index values as text."""

    @raises(KeyInvalid, DatabaseUnavailable)
    async def get(self, address: ItemAddress) -> ItemFound | None: ...

    @raises(KeyInvalid, ItemTooLarge, QuotaExceeded, Conflict, DatabaseUnavailable)
    async def put(self, address: ItemAddress, raw: bytes, indexes: dict[str, str]) -> int: ...

    @raises(KeyInvalid, ItemTooLarge, QuotaExceeded, DatabaseUnavailable)
    async def compare_and_set(
        self, address: ItemAddress, raw: bytes, indexes: dict[str, str], revision: int
    ) -> bool: ...

    @raises(KeyInvalid, Conflict, DatabaseUnavailable)
    async def delete(self, address: ItemAddress, revision: int) -> bool:
        """ANY_REVISION deletes the item however it stands."""
        ...

    @raises(KeyInvalid, DatabaseUnavailable)
    async def query(self, address: IndexAddress, limit: int, after: str) -> ItemPage: ...


@service("store")
class StoreOpener(Protocol):
    """The cluster's store, for system slices alone. Opened by the first call."""

    def open(self) -> Store: ...

    async def close(self) -> None: ...
