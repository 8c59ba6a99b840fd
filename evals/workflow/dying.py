"""The store as one leader's process sees it: at one of its writes the process dies, or falls asleep."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal

import anyio

from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import (
    NOW,
    RANGE_LIMIT_MAX,
    Compare,
    GetResult,
    Leadership,
    LeaseId,
    Operation,
    RangeResult,
    Revision,
    StoreStatus,
    TxnResult,
    WatchBatch,
)

Fate = Literal["lost", "unanswered", "slept"]
"""The write is never made; it is made and nobody hears of it; it is made once another leads."""
FATES: Final[tuple[Fate, ...]] = ("lost", "unanswered", "slept")
TRAVEL_S_MAX: Final = 0.003


class DyingStore:
    """Implements Store. `writes` counts from 1; `die` is called at the write `at`, which meets its fate."""

    def __init__(
        self, inner: MemoryStore, rng: random.Random, *, at: int, fate: Fate, die: Callable[[Fate], None]
    ) -> None:
        self._inner = inner
        self._rng = rng
        self._at = at
        self._fate = fate
        self._die = die
        self._dead = False
        self.writes = 0
        self.awake = anyio.Event()
        self.awake.set()

    def sleep(self) -> None:
        """From now on nothing comes or goes until `awake` is set."""
        self.awake = anyio.Event()

    def end(self) -> None:
        """The process is no more: nothing that was asked of it is answered."""
        self._dead = True

    async def _travels(self) -> None:
        await anyio.sleep(self._rng.uniform(0.0, TRAVEL_S_MAX))
        await self.awake.wait()
        if self._dead:
            await anyio.sleep_forever()

    async def _counted(self) -> None:
        """Raises nothing: who dies here waits for its end."""
        self.writes += 1
        if self.writes != self._at:
            return
        self._die(self._fate)
        if self._fate == "lost":
            await anyio.sleep_forever()
        await self.awake.wait()

    async def _answered(self, write: int) -> None:
        if write == self._at and self._fate == "unanswered":
            await anyio.sleep_forever()
        await self._travels()

    async def get(self, key: str, *, at_revision: Revision = NOW, stale_ok: bool = False) -> GetResult:
        await self._travels()
        found = await self._inner.get(key, at_revision=at_revision, stale_ok=stale_ok)
        await self._travels()
        return found

    async def range(
        self,
        prefix: str,
        *,
        after: str = "",
        limit: int = RANGE_LIMIT_MAX,
        at_revision: Revision = NOW,
        stale_ok: bool = False,
    ) -> RangeResult:
        await self._travels()
        found = await self._inner.range(prefix, after=after, limit=limit, at_revision=at_revision, stale_ok=stale_ok)
        await self._travels()
        return found

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> TxnResult:
        await self._travels()
        write = 0
        if then:
            await self._counted()
            write = self.writes
        found = await self._inner.txn(compare, then, otherwise)
        await self._answered(write)
        return found

    async def grant(self, ttl_ms: int) -> LeaseId:
        await self._travels()
        await self._counted()
        write = self.writes
        found = await self._inner.grant(ttl_ms)
        await self._answered(write)
        return found

    async def keep_alive(self, lease: LeaseId) -> None:
        await self._inner.keep_alive(lease)

    async def revoke(self, lease: LeaseId) -> None:
        await self._inner.revoke(lease)

    async def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        async for batch in self._inner.watch(prefix, from_revision=from_revision):
            await self._travels()
            yield batch

    async def leadership(self) -> AsyncIterator[Leadership]:
        async for leadership in self._inner.leadership():
            await self._travels()
            yield leadership

    async def compact(self, revision: Revision) -> None:
        await self._inner.compact(revision)

    async def status(self) -> StoreStatus:
        return await self._inner.status()
