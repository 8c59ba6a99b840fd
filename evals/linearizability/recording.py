"""Records what a client asks of any store: in memory, a raft member's own, or over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from evals.linearizability.history import (
    Answer,
    Changed,
    Done,
    Found,
    Granted,
    History,
    Listed,
    Operation,
    Read,
    ReadKey,
    ReadRange,
    Refused,
    Request,
)
from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.store import (
    NOW,
    RANGE_LIMIT_MAX,
    Compare,
    GetResult,
    Leadership,
    LeaseId,
    RangeResult,
    Revision,
    Store,
    StoreStatus,
    TxnResult,
    WatchBatch,
)
from runtime.consensus.store import Operation as StoreOperation

T = TypeVar("T")

CERTAIN: Final = {error.code for error in (e.TooLarge, e.QuotaExceeded, e.LeaseNotFound, e.InvalidRequest, e.Compacted)}
"""Refusals after which a change was certainly not made. After any other error it may have been, or may yet be."""


class Recorder:
    """Appends to `history` when an operation ends, however it ends. Reads without an answer tell nothing."""

    def __init__(self, history: History, clock: Callable[[], float]) -> None:
        self.history = history
        self.clock = clock

    async def record(
        self, client: str, request: Request, asking: Awaitable[T], answer_of: Callable[[T], Answer | None]
    ) -> T:
        """What `asking` gives. `answer_of` puts it as an answer; None stands for an outcome that is not known."""
        began_s = self.clock()
        answer: Answer | None = None
        try:
            result = await asking
            answer = answer_of(result)
        except e.StoreFault as error:
            if error.code in CERTAIN:
                answer = Refused(error.code)
            raise
        finally:
            self.note(client, began_s, request, answer)
        return result

    def note(self, client: str, began_s: float, request: Request, answer: Answer | None) -> None:
        """An operation that ends now."""
        if answer is None and isinstance(request, Read):
            return
        ended_s = self.clock() if answer is not None else None
        self.history.add(Operation(client=client, began_s=began_s, ended_s=ended_s, request=request, answer=answer))


class RecordingStore:
    """Implements Store. One per client: a client asks for one thing after the other, or for several at once."""

    def __init__(self, store: Store, recorder: Recorder, client: str) -> None:
        self._store = store
        self._recorder = recorder
        self._client = client

    async def get(self, key: str, *, at_revision: Revision = NOW, stale_ok: bool = False) -> GetResult:
        asking = self._store.get(key, at_revision=at_revision, stale_ok=stale_ok)
        return await self._record(ReadKey(key, at_revision, stale_ok), asking, Found)

    async def range(
        self,
        prefix: str,
        *,
        after: str = "",
        limit: int = RANGE_LIMIT_MAX,
        at_revision: Revision = NOW,
        stale_ok: bool = False,
    ) -> RangeResult:
        asking = self._store.range(prefix, after=after, limit=limit, at_revision=at_revision, stale_ok=stale_ok)
        return await self._record(ReadRange(prefix, after, limit, at_revision, stale_ok), asking, Listed)

    async def txn(
        self,
        compare: Sequence[Compare],
        then: Sequence[StoreOperation],
        otherwise: Sequence[StoreOperation] = (),
    ) -> TxnResult:
        request = c.Txn(tuple(compare), tuple(then), tuple(otherwise))
        return await self._record(request, self._store.txn(compare, then, otherwise), Changed)

    async def grant(self, ttl_ms: int) -> LeaseId:
        return await self._record(c.Grant(ttl_ms), self._store.grant(ttl_ms), Granted)

    async def keep_alive(self, lease: LeaseId) -> None:
        await self._record(c.KeepAlive(lease), self._store.keep_alive(lease), _done)

    async def revoke(self, lease: LeaseId) -> None:
        await self._record(c.Revoke(lease), self._store.revoke(lease), _done)

    async def compact(self, revision: Revision) -> None:
        await self._record(c.Compact(revision), self._store.compact(revision), _done)

    def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        return self._store.watch(prefix, from_revision=from_revision)

    def leadership(self) -> AsyncIterator[Leadership]:
        return self._store.leadership()

    async def status(self) -> StoreStatus:
        return await self._store.status()

    async def _record(self, request: Request, asking: Awaitable[T], answer_of: Callable[[T], Answer]) -> T:
        return await self._recorder.record(self._client, request, asking, answer_of)


def _done(_: None) -> Answer:
    return Done()
