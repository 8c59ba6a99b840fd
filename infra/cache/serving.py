"""What the cache's server part answers, as its callers see it: workers on their own node, and the other nodes."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from runtime.sdk.marks import deadline
from runtime.sdk.services import Caller, service

PEER_MS: Final = 250  # a miss now is worth more than a value later
WORKER_MS: Final = 1_500  # covers an owner and a backup that both stay silent, twice


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A copy and how long it may live on."""

    value: bytes
    left_s: float


class CacheServing(Protocol):
    """For workers. `scope` is the slice whose keys they are."""

    @deadline(ms=WORKER_MS)
    async def get(self, scope: str, key: str) -> bytes | None: ...

    @deadline(ms=WORKER_MS)
    async def put(self, scope: str, key: str, value: bytes, ttl_s: float) -> bool: ...

    @deadline(ms=WORKER_MS)
    async def delete(self, scope: str, key: str) -> bool: ...


class CacheKeeping(Protocol):
    """Between nodes. `name` is scope and key in one."""

    @deadline(ms=PEER_MS)
    async def fetch(self, name: str) -> Held | None:
        """That node's copy. Makes the other copy again if the nodes have changed since."""
        ...

    @deadline(ms=2 * PEER_MS)
    async def keep(self, name: str, value: bytes, ttl_s: float) -> bool:
        """Keeps the value and sends a copy to the key's other node."""
        ...

    @deadline(ms=PEER_MS)
    async def copy(self, name: str, held: Held) -> bool:
        """Keeps the copy in place of whatever was there."""
        ...

    @deadline(ms=PEER_MS)
    async def adopt(self, name: str, held: Held) -> bool:
        """Keeps the copy unless there is one: what is here may be newer."""
        ...

    @deadline(ms=PEER_MS)
    async def drop(self, name: str) -> None: ...


@service("cache-cluster")
class CacheCluster(Protocol):
    """What the server part needs of its node."""

    node: str
    caller: Caller

    def nodes(self) -> tuple[str, ...]:
        """The live nodes, this one included."""
        ...
