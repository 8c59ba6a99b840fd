"""The replicated state machine: bytes in, a result out, the same on every member. `apply` never raises."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.keyspace import Keyspace
from runtime.consensus.store import (
    KEY_BYTES_MAX,
    LEADER_KEY,
    NO_LEASE,
    TXN_BYTES_MAX,
    TXN_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    Compare,
    Delete,
    Get,
    KeyValue,
    LeaseId,
    Operation,
    Put,
    Revision,
    TxnResult,
    WatchBatch,
    WatchEvent,
)
from runtime.state.quotas import TOTAL_BYTES_MAX, quota_of

HISTORY_BATCHES_MAX: Final = 10_000  # revisions that a watch can go back
HISTORY_BYTES_MAX: Final = 32 * 1024 * 1024
SESSIONS_MAX: Final = 4_096  # a client process each; the longest unused goes first
SESSION_RESULTS_MAX: Final = 1_024  # as many as a client may have in flight
LEASE_TTL_MS_MIN: Final = 500
LEASE_TTL_MS_MAX: Final = 24 * 3_600_000
LEASES_MAX: Final = 100_000
COMPARES_MAX: Final = 512


class Lease(msgspec.Struct, array_like=True):
    ttl_ms: int
    left_ms: int
    keys: set[str]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All of the state but the history: after a restart a watch starts from here."""

    revision: Revision
    items: list[KeyValue]
    leases: dict[int, Lease]
    next_lease: int
    sessions: list[tuple[str, dict[int, c.Result]]]


class Machine:
    """`changed` is called after each command that made a new revision."""

    def __init__(self) -> None:
        self.revision = Revision(0)
        self.keys = Keyspace()
        self.changed: Callable[[], None] = lambda: None
        self._history: deque[WatchBatch] = deque()
        self._history_bytes = 0
        self._compacted = Revision(0)  # history up to and including this is gone
        self._leases: dict[int, Lease] = {}
        self._next_lease = 1
        self._sessions: OrderedDict[str, dict[int, c.Result]] = OrderedDict()

    # -- commands ----------------------------------------------------------------------------------------------------

    def apply(self, raw: bytes) -> c.Result:
        try:
            envelope = c.decode(raw)
        except msgspec.DecodeError as error:
            return c.Failed(e.InvalidRequest.code, f"a command cannot be read: {error}")
        results = self._results_of(envelope)
        if results is not None and envelope.sequence in results:
            return results[envelope.sequence]
        before = self.revision
        try:
            result = self._run(envelope.command)
        except e.StoreFault as error:
            result = c.Failed(error.code, str(error))
        if results is not None:
            results[envelope.sequence] = result
        if self.revision != before:
            self.changed()
        return result

    def _results_of(self, envelope: c.Envelope) -> dict[int, c.Result] | None:
        if not envelope.session:
            return None
        results = self._sessions.get(envelope.session)
        if results is None:
            results = self._sessions[envelope.session] = {}
            if len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)
        else:
            self._sessions.move_to_end(envelope.session)
        for sequence in [each for each in results if each < envelope.settled]:
            del results[sequence]
        while len(results) >= SESSION_RESULTS_MAX:
            del results[min(results)]
        return results

    def _run(self, command: c.Command) -> c.Result:
        match command:
            case c.Txn():
                return c.Applied(txn=self._txn(command))
            case c.Grant():
                return c.Applied(lease=self._grant(command.ttl_ms))
            case c.KeepAlive():
                lease = self._lease(command.lease)
                lease.left_ms = lease.ttl_ms
                return c.Applied(lease=command.lease)
            case c.Revoke():
                self._end_leases([command.lease])
                return c.Applied()
            case c.Tick():
                self._tick(command.elapsed_ms)
                return c.Applied()
            case c.Lead():
                self._write([Put(key=LEADER_KEY, value=command.node.encode())])
                return c.Applied()

    # -- transactions ------------------------------------------------------------------------------------------------

    def _txn(self, txn: c.Txn) -> TxnResult:
        check_txn(txn)
        succeeded = all(self._holds(compare) for compare in txn.compare)
        branch = txn.then if succeeded else txn.otherwise
        gets = self._write(branch)
        return TxnResult(succeeded=succeeded, revision=self.revision, gets=gets)

    def _holds(self, compare: Compare) -> bool:
        item = self.keys.get(compare.key)
        if compare.field == "value":
            found: int | bytes = item.value if item is not None else b""
        else:
            found = int(getattr(item, compare.field)) if item is not None else 0
        if isinstance(found, bytes) != isinstance(compare.operand, bytes):
            raise e.InvalidRequest(f"{compare.field} of {compare.key!r} cannot be compared with that operand")
        if compare.op == "==":
            return found == compare.operand
        if compare.op == "!=":
            return found != compare.operand
        smaller = found < compare.operand  # type: ignore[operator]  # both are bytes or both int, see above
        return smaller if compare.op == "<" else not smaller and found != compare.operand

    def _write(self, operations: tuple[Operation, ...] | list[Operation]) -> tuple[KeyValue | None, ...]:
        """All or nothing: what could be refused is checked before anything changes."""
        self._admit(operations)
        revision = Revision(self.revision + 1)
        events: list[WatchEvent] = []
        gets: list[KeyValue | None] = []
        for operation in operations:
            match operation:
                case Put():
                    events.append(self._put(operation, revision))
                case Delete():
                    events.extend(self._delete(operation, revision))
                case Get():
                    gets.append(self.keys.get(operation.key))
        if events:
            self.revision = revision
            self._remember(WatchBatch(revision=revision, events=tuple(events)))
        return tuple(gets)

    def _admit(self, operations: tuple[Operation, ...] | list[Operation]) -> None:
        growth: dict[str, int] = {}
        for operation in operations:
            if not isinstance(operation, Put):
                continue
            if operation.lease != NO_LEASE:
                self._lease(operation.lease)
            item = self.keys.get(operation.key)
            added = len(operation.value) - len(item.value) if item else len(operation.value) + len(operation.key)
            part, limit = quota_of(operation.key)
            growth[part] = growth.get(part, 0) + added
            if growth[part] > 0 and self.keys.weight(part) + growth[part] > limit:
                raise e.QuotaExceeded(f"{part} may hold {limit} bytes and is full")
        total = sum(growth.values())
        if total > 0 and self.keys.bytes_total + total > TOTAL_BYTES_MAX:
            raise e.QuotaExceeded(f"the store may hold {TOTAL_BYTES_MAX} bytes and is full")

    def _put(self, put: Put, revision: Revision) -> WatchEvent:
        before = self.keys.get(put.key)
        item = KeyValue(
            key=put.key,
            value=put.value,
            create_revision=before.create_revision if before else revision,
            mod_revision=revision,
            version=before.version + 1 if before else 1,
            lease=put.lease,
        )
        if before is not None and before.lease != put.lease:
            self._detach(before)
        if put.lease != NO_LEASE:
            self._lease(put.lease).keys.add(put.key)
        self.keys.put(item)
        return WatchEvent(kind="put", item=item)

    def _delete(self, delete: Delete, revision: Revision) -> list[WatchEvent]:
        doomed = [item.key for item in self.keys.below(delete.key)] if delete.prefix else [delete.key]
        events = []
        for key in doomed:
            item = self.keys.delete(key)
            if item is not None:
                self._detach(item)
                gone = KeyValue(key=key, value=b"", create_revision=Revision(0), mod_revision=revision, version=0)
                events.append(WatchEvent(kind="delete", item=gone))
        return events

    # -- leases --------------------------------------------------------------------------------------------------------

    def _grant(self, ttl_ms: int) -> LeaseId:
        if not LEASE_TTL_MS_MIN <= ttl_ms <= LEASE_TTL_MS_MAX:
            raise e.InvalidRequest(f"a lease lasts {LEASE_TTL_MS_MIN} to {LEASE_TTL_MS_MAX} ms, not {ttl_ms}")
        if len(self._leases) >= LEASES_MAX:
            raise e.QuotaExceeded(f"there are {LEASES_MAX} leases already")
        lease = LeaseId(self._next_lease)
        self._next_lease += 1
        self._leases[lease] = Lease(ttl_ms, ttl_ms, set())
        return lease

    def _lease(self, lease: LeaseId) -> Lease:
        found = self._leases.get(lease)
        if found is None:
            raise e.LeaseNotFound(f"lease {lease} has ended or never was")
        return found

    def _tick(self, elapsed_ms: int) -> None:
        ended = []
        for number, lease in self._leases.items():
            lease.left_ms -= max(0, elapsed_ms)
            if lease.left_ms <= 0:
                ended.append(LeaseId(number))
        self._end_leases(ended)

    def _end_leases(self, leases: list[LeaseId]) -> None:
        doomed: list[Operation] = []
        for number in leases:
            lease = self._leases.pop(number, None)
            if lease is not None:
                doomed.extend(Delete(key=key) for key in sorted(lease.keys))
        if doomed:
            self._write(doomed)

    def _detach(self, item: KeyValue) -> None:
        lease = self._leases.get(item.lease)
        if lease is not None:
            lease.keys.discard(item.key)

    @property
    def has_leases(self) -> bool:
        return bool(self._leases)

    # -- history -------------------------------------------------------------------------------------------------------

    def history(self, prefix: str | tuple[str, ...], from_revision: Revision) -> list[WatchBatch]:
        """What changed below the prefix from that revision on. Raises Compacted when that is no longer known."""
        if from_revision <= self._compacted:
            raise e.Compacted(self._compacted + 1)
        found = []
        for batch in reversed(self._history):
            if batch.revision < from_revision:
                break
            events = tuple(event for event in batch.events if event.item.key.startswith(prefix))
            if events:
                found.append(WatchBatch(revision=batch.revision, events=events))
        found.reverse()
        return found

    def _remember(self, batch: WatchBatch) -> None:
        self._history.append(batch)
        self._history_bytes += _weight(batch)
        while len(self._history) > HISTORY_BATCHES_MAX or self._history_bytes > HISTORY_BYTES_MAX:
            oldest = self._history.popleft()
            self._history_bytes -= _weight(oldest)
            self._compacted = oldest.revision

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(
            Snapshot(
                revision=self.revision,
                items=list(self.keys.below("")),
                leases=self._leases,
                next_lease=self._next_lease,
                sessions=list(self._sessions.items()),
            )
        )

    def restore(self, raw: bytes) -> None:
        """Replaces the state. Raises msgspec.DecodeError, before anything changed."""
        snapshot = msgspec.msgpack.decode(raw, type=Snapshot)
        self.revision = snapshot.revision
        self.keys = Keyspace()
        for item in snapshot.items:
            self.keys.put(item)
        self._leases = dict(snapshot.leases)
        self._next_lease = snapshot.next_lease
        self._sessions = OrderedDict(snapshot.sessions)
        self._history.clear()
        self._history_bytes = 0
        self._compacted = snapshot.revision
        self.changed()

    def state_hash(self) -> str:
        """Equal on members with equal state at the same revision."""
        digest = hashlib.sha256(str((self.revision, self._next_lease)).encode())
        for item in self.keys.below(""):
            digest.update(msgspec.msgpack.encode(item))
        return digest.hexdigest()


def check_txn(txn: c.Txn) -> None:
    """Limits that depend on the request alone, so that a client is told before anything is logged."""
    if len(txn.then) + len(txn.otherwise) > TXN_OPERATIONS_MAX or len(txn.compare) > COMPARES_MAX:
        raise e.TooLarge(f"a transaction has at most {TXN_OPERATIONS_MAX} operations and {COMPARES_MAX} comparisons")
    size = 0
    for operation in (*txn.then, *txn.otherwise):
        key_bytes = len(operation.key.encode())
        if not key_bytes and not (isinstance(operation, Delete) and operation.prefix):
            raise e.InvalidRequest("a key is empty")
        if key_bytes > KEY_BYTES_MAX:
            raise e.TooLarge(f"a key of {key_bytes} bytes; the limit is {KEY_BYTES_MAX}")
        value_bytes = len(operation.value) if isinstance(operation, Put) else 0
        if value_bytes > VALUE_BYTES_MAX:
            raise e.TooLarge(f"a value of {value_bytes} bytes for {operation.key}; the limit is {VALUE_BYTES_MAX}")
        size += key_bytes + value_bytes
    if size > TXN_BYTES_MAX:
        raise e.TooLarge(f"a transaction of {size} bytes; the limit is {TXN_BYTES_MAX}")


def _weight(batch: WatchBatch) -> int:
    return sum(len(event.item.key) + len(event.item.value) + 64 for event in batch.events)
