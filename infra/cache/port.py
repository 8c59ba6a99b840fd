"""The cache as a slice sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, overload

from infra.cache.limits import TTL_S
from runtime.sdk.services import service

T = TypeVar("T")


@service("cache")
class Cache(Protocol):
    """Values that may vanish at any time, shared by all instances of one slice; other slices have keys of their own.

    Never the truth: a value can be lost to its TTL, to lack of room, to a change of nodes. An acknowledged put survives
    the death of one node while its backup copy lives. A read sees the last put while the nodes stay the same; after a
    node came, left or was cut off it may see an older value, never one older than its TTL. When the cache cannot be
    reached, a read is a miss and a write returns False: a slice goes on without it.
    """

    @overload
    async def get(self, key: str) -> bytes | None: ...

    @overload
    async def get(self, key: str, type: type[T]) -> T | None: ...

    async def get(self, key: str, type: object = bytes) -> object:
        """None for a miss. A value that is no `type` (an older version of the slice put it) is a miss too."""
        ...

    async def put(self, key: str, value: object, *, ttl_s: float = TTL_S) -> bool:
        """Keeps what msgspec can encode, up to 1 MiB, for at most `ttl_s`. False: it was not kept.

        Raises CacheKeyInvalid, CacheValueTooLarge or TtlInvalid."""
        ...

    async def delete(self, key: str) -> bool:
        """False when a copy may have stayed: the cache could not be reached."""
        ...

    async def get_or_compute(
        self,
        key: str,
        compute: Callable[[], Awaitable[T]],
        type: type[T],
        *,
        ttl_s: float = TTL_S,
    ) -> T:
        """The cached value, or a computed one that is cached then. Callers at the same moment may each compute."""
        ...
