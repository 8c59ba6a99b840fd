"""Leases that a transaction needs: given back when it was not made, so that none is left behind."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Final

from runtime.consensus.errors import InvalidRequest, QuotaExceeded, StoreFault, TooLarge
from runtime.consensus.store import NO_LEASE, KeyValue, LeaseId, Store

NOT_DONE: Final = (InvalidRequest, QuotaExceeded, TooLarge)
"""A transaction that ended so changed nothing; of any other error nobody knows yet."""


class TakenLeases:
    """`async with`: unless `keep` was called, they are given back at the end; not when nobody knows whether the
    transaction was made, since its keys would go with them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken: list[LeaseId] = []

    async def grant(self, ttl_ms: int) -> LeaseId:
        lease = await self._store.grant(ttl_ms)
        self._taken.append(lease)
        return lease

    def keep(self) -> None:
        self._taken.clear()

    async def __aenter__(self) -> TakenLeases:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, NOT_DONE):
            for lease in self._taken:
                await _revoked(self._store, lease)


async def let_go(store: Store, item: KeyValue | None) -> None:
    """Ends the lease of a key that has served its purpose; if that fails, it ends by itself."""
    if item is not None and item.lease != NO_LEASE:
        await _revoked(store, item.lease)


async def _revoked(store: Store, lease: LeaseId) -> None:
    with contextlib.suppress(StoreFault):
        await store.revoke(lease)
