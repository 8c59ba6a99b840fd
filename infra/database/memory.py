"""A database in the test's own process: the real proxy and server part over the in-memory store."""

from __future__ import annotations

from infra.database.proxy import DatabaseProxy
from infra.database.server import DatabaseSlice
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Store


class OpenedStore:
    """A store that somebody else opened and will close."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(self) -> Store:
        return self._store

    async def close(self) -> None:
        return


class MemoryDatabase(DatabaseProxy):
    """Implements Database with the limits of the real one. For `runtime.sdk.testing.running`.

    `store.engine.quorum = False` makes it unavailable, as a cluster without a majority is.
    """

    def __init__(self, slice_name: str = "test", *, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        super().__init__(slice_name, DatabaseSlice(OpenedStore(self.store)))
