"""The database as a slice sees it.

The embedded default keeps items in the cluster's store (`infra.database.server`). A SQL engine is another factory for
the same port: a collection is a table (key primary, revision bigint, item, one column per index), compare_and_set is
`UPDATE … WHERE key = ? AND revision = ?`, and a page's `after` is the last key. Hence the port offers no transaction
over several items, no order but the key's, and nothing of the store. An engine that can do more may offer a port of its
own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from infra.database.limits import PAGE_ITEMS_MAX
from runtime.sdk.services import service

T = TypeVar("T")

IndexValue = str | int | bool | None


class Found(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An item as it stood at `revision`, which grows with each change of it."""

    key: str
    value: T
    revision: int


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Items in the order of their keys. `after` is where the next page begins; empty on the last one."""

    items: tuple[Found[T], ...]
    after: str = ""

    def __iter__(self) -> Iterator[Found[T]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Collection(Protocol[T]):
    """Items of one type by key. Reads are linearizable: they see every change acknowledged before.

    Every method may raise DatabaseUnavailable. A change that ended in it with `may_have_applied` may be repeated if it
    is a compare_and_set: had the first one been applied, the second would return False.
    """

    async def get(self, key: str) -> Found[T] | None: ...

    async def put(self, key: str, value: T) -> int:
        """Whatever was there, this is there now; gives its revision. Never applied twice.

        Raises KeyInvalid, ItemTooLarge, QuotaExceeded, Conflict."""
        ...

    async def compare_and_set(self, key: str, value: T, *, revision: int) -> bool:
        """Changes the item if it still stands at `revision`; 0 means that there is none. False: nothing was changed.

        Raises KeyInvalid, ItemTooLarge, QuotaExceeded."""
        ...

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        """False when there was none, or it no longer stood at `revision`. Raises Conflict."""
        ...

    async def query(
        self, index: str, value: IndexValue, *, limit: int = PAGE_ITEMS_MAX // 2, after: str = ""
    ) -> Page[T]:
        """Items whose field `index` equals `value`; a page may hold fewer than `limit` although more follow.

        Each item is as it stands when it is read; the page is no snapshot. Raises IndexUnknown, KeyInvalid."""
        ...


@service("database")
class Database(Protocol):
    """The collections of one slice, shared by all its instances and versions; other slices have their own."""

    def collection(self, name: str, item: type[T], *, indexes: tuple[str, ...] = ()) -> Collection[T]:
        """`indexes` are fields of `item` that hold text, whole numbers, bools or None.

        Items get their index entries when they are written: after adding an index, write older items again. Raises
        ValueError for names that cannot be."""
        ...
