"""The database in a worker: encodes, decodes and indexes items, and asks the instance of its node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar, cast

import msgspec

from infra.database import naming
from infra.database.errors import DatabaseUnavailable, IndexUnknown, ItemTooLarge, KeyInvalid
from infra.database.limits import DATABASE_SLICE, INDEXES_MAX, ITEM_BYTES_MAX, PAGE_ITEMS_MAX
from infra.database.port import Collection, Database, Found, IndexValue, Page
from infra.database.serving import ANY_REVISION, DatabaseServing, IndexAddress, ItemAddress, ItemFound
from runtime.hosting.proxies import make_proxy
from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallFault, NotStarted, RemoteFault
from runtime.sdk.contract import DependencyContract
from runtime.sdk.reading import DependencyReading
from runtime.sdk.services import Caller, ServiceRequest

T = TypeVar("T")
PAUSE_S: Final = 0.02  # doubles up to PAUSE_S_MAX while the node's gateway is starting
PAUSE_S_MAX: Final = 0.2
_encode: Final = msgspec.msgpack.Encoder().encode


class CollectionProxy(Generic[T]):
    """Implements Collection over the server part."""

    def __init__(
        self, scope: str, name: str, item: type[T], indexes: tuple[str, ...], serving: DatabaseServing
    ) -> None:
        self._scope = scope
        self._name = name
        self._indexes = indexes
        self._serving = serving
        self._decode = msgspec.msgpack.Decoder(item).decode

    async def get(self, key: str) -> Found[T] | None:
        if not _can_be(key):
            return None  # nothing can have been put there
        with _call_faults(changing=False):
            found = await self._serving.get(self._address(key))
        return None if found is None else self._found(found)

    async def put(self, key: str, value: T) -> int:
        address, raw, indexes = self._address(key), self._raw(key, value), self._index_values(value)
        with _call_faults(changing=True):
            return await self._serving.put(address, raw, indexes)

    async def compare_and_set(self, key: str, value: T, *, revision: int) -> bool:
        address, raw, indexes = self._address(key), self._raw(key, value), self._index_values(value)
        with _call_faults(changing=True):
            return await self._serving.compare_and_set(address, raw, indexes, revision)

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        if not _can_be(key):
            return False
        with _call_faults(changing=True):
            return await self._serving.delete(self._address(key), ANY_REVISION if revision is None else revision)

    async def query(
        self, index: str, value: IndexValue, *, limit: int = PAGE_ITEMS_MAX // 2, after: str = ""
    ) -> Page[T]:
        if index not in self._indexes:
            raise IndexUnknown(collection=self._name, index=index)
        if not 1 <= limit <= PAGE_ITEMS_MAX:
            raise ValueError(f"a page has 1 to {PAGE_ITEMS_MAX} items, not {limit}")
        address = IndexAddress(self._scope, self._name, index, naming.index_text(value))
        with _call_faults(changing=False):
            page = await self._serving.query(address, limit, after)
        return Page(items=tuple(self._found(item) for item in page.items), after=page.after)

    def _address(self, key: str) -> ItemAddress:
        """Raises KeyInvalid, as the server part would: what is no text cannot even travel there."""
        naming.escaped_key(key)
        return ItemAddress(self._scope, self._name, key)

    def _raw(self, key: str, value: T) -> bytes:
        raw = _encode(value)
        if len(raw) > ITEM_BYTES_MAX:
            raise ItemTooLarge(key=key, size=len(raw), size_max=ITEM_BYTES_MAX)
        return raw

    def _index_values(self, value: T) -> dict[str, str]:
        return {
            index: naming.index_text(msgspec.to_builtins(cast(object, getattr(value, index))))
            for index in self._indexes
        }

    def _found(self, item: ItemFound) -> Found[T]:
        """Raises msgspec.ValidationError for an item that another version wrote in another shape."""
        return Found(key=item.key, value=self._decode(item.raw), revision=item.revision)


class DatabaseProxy:
    """Implements Database for one slice."""

    def __init__(self, scope: str, serving: DatabaseServing) -> None:
        self._scope = scope
        self._serving = serving

    def collection(self, name: str, item: type[T], *, indexes: tuple[str, ...] = ()) -> Collection[T]:
        for text in (name, *indexes):
            if not naming.is_collection_name(text):
                raise ValueError(f"{text!r} can name no collection or index: lower case, digits, - and _, at most 40")
        if len(set(indexes)) != len(indexes) or len(indexes) > INDEXES_MAX:
            raise ValueError(f"{name}: at most {INDEXES_MAX} indexes, each once")
        return CollectionProxy(self._scope, name, item, indexes, self._serving)


class PatientCaller:
    """Tries again while a call has not even started: just after a node's start nobody knows yet who serves what."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + deadline_s if context is None else min(loop.time() + deadline_s, context.deadline)
        pause_s = PAUSE_S
        while True:
            try:
                return await self._caller.call(
                    target, payload, context, deadline_s=max(ends_s - loop.time(), 0.0), node=node
                )
            except NotStarted:
                if loop.time() + pause_s >= ends_s:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)


def open_database(request: ServiceRequest) -> Database:
    """The factory for `@service("database")`."""
    contract = DependencyContract(parameter="database", kind="slice", name=DATABASE_SLICE)
    reading = DependencyReading(contract=contract, interface=DatabaseServing)
    proxy = make_proxy(reading, PatientCaller(request.caller), lambda _target: None)
    return DatabaseProxy(request.slice, cast(DatabaseServing, proxy))  # it has the methods of DatabaseServing


def _can_be(key: str) -> bool:
    try:
        naming.escaped_key(key)
    except KeyInvalid:
        return False
    return True


@contextmanager
def _call_faults(*, changing: bool) -> Iterator[None]:
    try:
        yield
    except RemoteFault:
        raise  # the server part's own mistake: an internal error with its correlation id
    except CallFault as fault:
        applied = changing and fault.handler_may_have_run
        raise DatabaseUnavailable(reason=str(fault), may_have_applied=applied) from fault
