"""A store in a dictionary: the comparisons and writes of one transaction, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from runtime.consensus.store import (
    Compare,
    Delete,
    Get,
    GetResult,
    KeyValue,
    Leadership,
    LeaseId,
    Operation,
    Put,
    RangeResult,
    Revision,
    StoreStatus,
    TxnResult,
    WatchBatch,
)


class DictStore:
    """Implements what admission, content and artifacts ask of a Store."""

    def __init__(self) -> None:
        self.items: dict[str, KeyValue] = {}
        self.revision = Revision(0)

    async def get(self, key: str, *, stale_ok: bool = False) -> GetResult:
        return GetResult(item=self.items.get(key), revision=self.revision)

    async def range(self, prefix: str, *, after: str = "", limit: int = 1000, stale_ok: bool = False) -> RangeResult:
        found = [self.items[key] for key in sorted(self.items) if key.startswith(prefix) and key > after]
        return RangeResult(items=tuple(found[:limit]), revision=self.revision, more=len(found) > limit)

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> TxnResult:
        succeeded = all(self._holds(one) for one in compare)
        self.revision = Revision(self.revision + 1)
        gets = [self._do(operation) for operation in (then if succeeded else otherwise)]
        return TxnResult(succeeded=succeeded, revision=self.revision, gets=tuple(gets))

    def _do(self, operation: Operation) -> KeyValue | None:
        match operation:
            case Put(key=key, value=value):
                old = self.items.get(key)
                self.items[key] = KeyValue(
                    key=key,
                    value=value,
                    create_revision=old.create_revision if old else self.revision,
                    mod_revision=self.revision,
                    version=old.version + 1 if old else 1,
                )
            case Delete(key=key):
                self.items.pop(key, None)
            case Get(key=key):
                return self.items.get(key)
        return None

    def _holds(self, one: Compare) -> bool:
        item = self.items.get(one.key)
        assert one.field in ("mod_revision", "version")
        found = 0 if item is None else item.version if one.field == "version" else item.mod_revision
        assert isinstance(one.operand, int)
        return found > one.operand if one.op == ">" else found == one.operand

    async def grant(self, ttl_ms: int) -> LeaseId:
        raise NotImplementedError

    async def keep_alive(self, lease: LeaseId) -> None:
        raise NotImplementedError

    async def revoke(self, lease: LeaseId) -> None:
        raise NotImplementedError

    def watch(self, prefix: str, *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        raise NotImplementedError

    def leadership(self) -> AsyncIterator[Leadership]:
        raise NotImplementedError

    async def status(self) -> StoreStatus:
        raise NotImplementedError
