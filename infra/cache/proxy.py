"""The cache in a worker: encodes, checks, and asks the instance of its node."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast, overload

import msgspec

from infra.cache.errors import CacheKeyInvalid, CacheValueTooLarge, TtlInvalid
from infra.cache.limits import CACHE_SLICE, KEY_BYTES_MAX, TTL_S, TTL_S_MAX, VALUE_BYTES_MAX
from infra.cache.port import Cache
from infra.cache.serving import CacheServing
from runtime.hosting.proxies import make_proxy
from runtime.invocation.errors import CallFault
from runtime.sdk.contract import DependencyContract
from runtime.sdk.reading import DependencyReading
from runtime.sdk.services import ServiceRequest

T = TypeVar("T")
_encode: Final = msgspec.msgpack.Encoder().encode


class CacheProxy:
    """Implements Cache for one slice."""

    def __init__(self, scope: str, serving: CacheServing) -> None:
        self._scope = scope
        self._serving = serving

    @overload
    async def get(self, key: str) -> bytes | None: ...

    @overload
    async def get(self, key: str, type: type[T]) -> T | None: ...

    async def get(self, key: str, type: object = bytes) -> object:
        if _key_problem(key):
            return None  # nothing can have been put there
        try:
            raw = await self._serving.get(self._scope, key)
        except CallFault:
            return None
        if raw is None:
            return None
        try:
            return msgspec.msgpack.decode(raw, type=type)
        except msgspec.DecodeError:
            return None

    async def put(self, key: str, value: object, *, ttl_s: float = TTL_S) -> bool:
        problem = _key_problem(key)
        if problem:
            raise CacheKeyInvalid(key=key[:80], reason=problem)
        if not (math.isfinite(ttl_s) and 0 < ttl_s <= TTL_S_MAX):
            raise TtlInvalid(ttl_s=ttl_s, reason=f"above 0 and at most {TTL_S_MAX:.0f} s")
        raw = _encode(value)
        if len(raw) > VALUE_BYTES_MAX:
            raise CacheValueTooLarge(key=key, size=len(raw), size_max=VALUE_BYTES_MAX)
        try:
            return await self._serving.put(self._scope, key, raw, ttl_s)
        except CallFault:
            return False

    async def delete(self, key: str) -> bool:
        if _key_problem(key):
            return True
        try:
            return await self._serving.delete(self._scope, key)
        except CallFault:
            return False

    async def get_or_compute(
        self,
        key: str,
        compute: Callable[[], Awaitable[T]],
        type: type[T],
        *,
        ttl_s: float = TTL_S,
    ) -> T:
        found = await self.get(key, type)
        if found is not None:
            return found
        value = await compute()
        await self.put(key, value, ttl_s=ttl_s)
        return value


def open_cache(request: ServiceRequest) -> Cache:
    """The factory for `@service("cache")`."""
    contract = DependencyContract(parameter="cache", kind="slice", name=CACHE_SLICE)
    reading = DependencyReading(contract=contract, interface=CacheServing)
    proxy = make_proxy(reading, request.caller, lambda _target: None)
    return CacheProxy(request.slice, cast(CacheServing, proxy))  # it has the methods of CacheServing


def _key_problem(key: str) -> str:
    if not key:
        return "it is empty"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is no text"
    return f"it is longer than {KEY_BYTES_MAX} bytes" if size > KEY_BYTES_MAX else ""
