"""The Store protocol: revisions, transactions, leases and watches, modelled on what etcd proved out.

Every engine (in memory, raft, and the client that other processes use) offers exactly this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal, NewType, Protocol

import msgspec

Revision = NewType("Revision", int)
"""Grows by one with every transaction that changed something. 0 is before the first."""
LeaseId = NewType("LeaseId", int)
"""0 is no lease."""

NO_LEASE: Final = LeaseId(0)
NOW: Final = Revision(0)
"""As a revision to read at: the newest."""
KEY_BYTES_MAX: Final = 512
VALUE_BYTES_MAX: Final = 64 * 1024
TXN_BYTES_MAX: Final = 1024 * 1024
TXN_OPERATIONS_MAX: Final = 512
TXN_READ_BYTES_MAX: Final = 4 * 1024 * 1024  # as a page; a reply may have 16 MiB
RANGE_LIMIT_MAX: Final = 1000  # 1000 x 64 KiB would not fit one reply: a page also ends at 4 MiB
LEADER_KEY: Final = "_leader"
"""Holds the leader's node id. Its mod revision is the fence: compare it in a transaction to be fenced."""


class KeyValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One key as it stood at some revision."""

    key: str
    value: bytes
    create_revision: Revision
    mod_revision: Revision
    version: int  # 1 at creation, one more with each put
    lease: LeaseId = NO_LEASE


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a transaction. An absent key has revisions and version 0 and an empty value."""

    key: str
    field: Literal["create_revision", "mod_revision", "version", "value"]
    op: Literal["==", "!=", "<", ">"] = "=="
    operand: int | bytes = 0


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put"):
    key: str
    value: bytes
    lease: LeaseId = NO_LEASE


class Delete(msgspec.Struct, frozen=True, kw_only=True, tag="delete"):
    """Deletes one key, or every key that begins with it when `prefix` is set. Absent is no error."""

    key: str
    prefix: bool = False


class Get(msgspec.Struct, frozen=True, kw_only=True, tag="get"):
    key: str


Operation = Put | Delete | Get


class TxnResult(msgspec.Struct, frozen=True, kw_only=True):
    """`gets` has one entry per `Get` of the branch taken, in order; None where the key is absent."""

    succeeded: bool
    revision: Revision
    gets: tuple[KeyValue | None, ...] = ()


class GetResult(msgspec.Struct, frozen=True, kw_only=True):
    item: KeyValue | None
    revision: Revision
    stale: bool = False


class RangeResult(msgspec.Struct, frozen=True, kw_only=True):
    """`more` says that the page ended before the range did; go on with `after=items[-1].key`."""

    items: tuple[KeyValue, ...]
    revision: Revision
    more: bool = False
    stale: bool = False


class WatchEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A key changed. A deletion carries the revision of the deletion and an empty value."""

    kind: Literal["put", "delete"]
    item: KeyValue


class WatchBatch(msgspec.Struct, frozen=True, kw_only=True):
    """All changes of one revision below the prefix, in order; without events it is a progress notice."""

    revision: Revision
    events: tuple[WatchEvent, ...] = ()


class Leadership(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads, and since which revision. `leader` is empty while nobody does."""

    leader: str
    fence: Revision


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Of one member. `members` are the voters; `lag` says how many entries each other member is behind, as the leader
    knows it."""

    node: str
    leader: str
    term: int
    revision: Revision
    members: tuple[str, ...]
    has_quorum: bool
    learners: tuple[str, ...] = ()
    commit_index: int = 0
    applied_index: int = 0
    last_index: int = 0
    log_bytes: int = 0
    snapshot_index: int = 0
    lag: dict[str, int] = {}


class Store(Protocol):
    """Linearizable unless `stale_ok`. Every method may raise the errors in `runtime.consensus.errors`."""

    async def get(self, key: str, *, at_revision: Revision = NOW, stale_ok: bool = False) -> GetResult:
        """`at_revision` reads the past. Raises Compacted when that is gone, InvalidRequest when it is not yet."""
        ...

    async def range(
        self,
        prefix: str,
        *,
        after: str = "",
        limit: int = RANGE_LIMIT_MAX,
        at_revision: Revision = NOW,
        stale_ok: bool = False,
    ) -> RangeResult:
        """Keys that begin with `prefix`, in order, those behind `after` only. Pages read at the first one's revision
        are one picture."""
        ...

    async def txn(
        self,
        compare: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> TxnResult:
        """Does `then` if every comparison holds, else `otherwise`; one revision, all or nothing."""
        ...

    async def grant(self, ttl_ms: int) -> LeaseId:
        """A lease that ends `ttl_ms` of elapsed leader time after its last keep-alive, never sooner."""
        ...

    async def keep_alive(self, lease: LeaseId) -> None: ...

    async def revoke(self, lease: LeaseId) -> None:
        """Ends the lease and deletes its keys. An unknown lease is no error."""
        ...

    def watch(self, prefix: str | tuple[str, ...], *, from_revision: Revision) -> AsyncIterator[WatchBatch]:
        """Changes below the prefix, or any of them, from `from_revision` on (inclusive); no gap, no duplicate.

        Raises Compacted when that far back is no longer known.
        """
        ...

    def leadership(self) -> AsyncIterator[Leadership]:
        """The present leadership, then every change of it."""
        ...

    async def compact(self, revision: Revision) -> None:
        """Lets go of history up to and including `revision`: watches and reads of before then are refused."""
        ...

    async def status(self) -> StoreStatus: ...


def absent(key: str) -> Compare:
    return Compare(key=key, field="version", operand=0)


def present(key: str) -> Compare:
    return Compare(key=key, field="version", op=">", operand=0)


def unchanged(key: str, mod_revision: Revision) -> Compare:
    """The key still stands as it did at `mod_revision` (0: it is still absent)."""
    return Compare(key=key, field="mod_revision", operand=mod_revision)


def led_by(fence: Revision) -> Compare:
    """The leadership that began at `fence` still stands."""
    return Compare(key=LEADER_KEY, field="mod_revision", operand=fence)
