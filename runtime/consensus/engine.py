"""What an engine offers to the part that all engines share, and that part: the Store protocol over an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.limits import check_txn
from runtime.consensus.machine import Machine
from runtime.consensus.signal import Signal
from runtime.consensus.store import (
    LEADER_KEY,
    NOW,
    RANGE_LIMIT_MAX,
    Compare,
    GetResult,
    KeyValue,
    Leadership,
    LeaseId,
    Operation,
    RangeResult,
    Revision,
    StoreStatus,
    TxnResult,
    WatchBatch,
)

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024


class Engine(Protocol):
    node: str
    machine: Machine
    changes: Signal
    """Fires on every new revision and on every change of leadership."""

    async def propose(self, command: bytes) -> c.Result:
        """Returns once applied here. Raises NotLeader, NoQuorum, Overloaded, StoreUnavailable."""
        ...

    async def confirm(self) -> None:
        """Returns once everything acknowledged before the call is applied here. Raises NotLeader, NoQuorum."""
        ...

    def leader(self) -> str:
        """The leader this member knows of; empty when none."""
        ...

    async def status(self) -> StoreStatus: ...


class EngineStore:
    """Implements Store on an engine of this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def get(self, key: str, *, at_revision: Revision = NOW, stale_ok: bool = False) -> GetResult:
        machine = await self._readable(at_revision, stale_ok)
        item = machine.keys.get(key) if at_revision == NOW else machine.keys.get_at(key, at_revision)
        return GetResult(item=item, revision=machine.revision, stale=stale_ok)

    async def range(
        self,
        prefix: str,
        *,
        after: str = "",
        limit: int = RANGE_LIMIT_MAX,
        at_revision: Revision = NOW,
        stale_ok: bool = False,
    ) -> RangeResult:
        if not 1 <= limit <= RANGE_LIMIT_MAX:
            raise e.InvalidRequest(f"a range gives 1 to {RANGE_LIMIT_MAX} keys, not {limit}")
        machine = await self._readable(at_revision, stale_ok)
        if at_revision == NOW:
            found = machine.keys.below(prefix, after=after)
        else:
            found = machine.keys.below_at(prefix, at_revision, after=after)
        items: list[KeyValue] = []
        size = 0
        for item in found:
            if len(items) == limit or size > PAGE_BYTES_MAX:
                return RangeResult(items=tuple(items), revision=machine.revision, more=True, stale=stale_ok)
            items.append(item)
            size += len(item.key) + len(item.value)
        return RangeResult(items=tuple(items), revision=machine.revision, stale=stale_ok)

    async def _readable(self, at_revision: Revision, stale_ok: bool) -> Machine:
        if not stale_ok:
            await self._engine.confirm()
        if at_revision != NOW:
            self._engine.machine.check_readable(at_revision)
        return self._engine.machine

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> TxnResult:
        txn = c.Txn(tuple(compare), tuple(then), tuple(otherwise))
        check_txn(txn)
        result = await self.command(c.Envelope(txn))
        assert result.txn is not None
        return result.txn

    async def grant(self, ttl_ms: int) -> LeaseId:
        return (await self.command(c.Envelope(c.Grant(ttl_ms)))).lease

    async def keep_alive(self, lease: LeaseId) -> None:
        await self.command(c.Envelope(c.KeepAlive(lease)))

    async def revoke(self, lease: LeaseId) -> None:
        await self.command(c.Envelope(c.Revoke(lease)))

    async def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        """Follows the history itself rather than a queue of its own, so a slow watcher costs no memory."""
        machine, following = self._engine.machine, from_revision
        while True:
            seen = self._engine.changes.count
            revision = machine.revision
            for batch in machine.history.since(prefix, following):
                yield batch
            if revision >= following:
                following = Revision(revision + 1)
                yield WatchBatch(revision=revision)
            await self._engine.changes.after(seen)

    async def leadership(self) -> AsyncIterator[Leadership]:
        last: Leadership | None = None
        while True:
            seen = self._engine.changes.count
            now = self._leadership()
            if now != last:
                last = now
                yield now
            await self._engine.changes.after(seen)

    async def compact(self, revision: Revision) -> None:
        await self.command(c.Envelope(c.Compact(revision)))

    async def status(self) -> StoreStatus:
        return await self._engine.status()

    async def command(self, envelope: c.Envelope) -> c.Applied:
        """Proposes, and turns a refusal into the error it stands for."""
        result = await self._engine.propose(c.encode(envelope))
        if isinstance(result, c.Failed):
            raise e.error_of(result.code, result.detail)
        return result

    def _leadership(self) -> Leadership:
        """A leader counts once its `Lead` command is applied: only then is there a fence."""
        item = self._engine.machine.keys.get(LEADER_KEY)
        if item is None or item.value.decode() != self._engine.leader():
            return Leadership(leader="", fence=item.mod_revision if item else Revision(0))
        return Leadership(leader=item.value.decode(), fence=item.mod_revision)
