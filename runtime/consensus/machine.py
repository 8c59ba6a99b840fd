"""The replicated state machine: bytes in, a result out, the same on every member. `apply` never raises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.digest import Digest, Digesting
from runtime.consensus.history import History
from runtime.consensus.keyspace import Keyspace
from runtime.consensus.leases import Lease, Leases
from runtime.consensus.limits import check_txn
from runtime.consensus.quota_check import check_quotas
from runtime.consensus.read_check import check_reads
from runtime.consensus.sessions import Session, Sessions
from runtime.consensus.state_blocks import StateBlock, blocks_of, leases_of, sessions_of
from runtime.consensus.store import (
    LEADER_KEY,
    NO_LEASE,
    Compare,
    Delete,
    Get,
    KeyValue,
    Operation,
    Put,
    Revision,
    TxnResult,
    WatchBatch,
    WatchEvent,
)


class Machine:
    """`changed` is called after each command that made a new revision."""

    def __init__(self) -> None:
        self.revision = Revision(0)
        self.keys = Keyspace()
        self.history = History()
        self.leases = Leases()
        self.sessions = Sessions()
        self.changed: Callable[[], None] = lambda: None
        self.digesting: Digesting | None = None
        self.digest: Digest | None = None
        """Of the newest `Check`, once `digest_some` has come to its end."""

    # -- commands ----------------------------------------------------------------------------------------------------

    def apply(self, raw: bytes) -> c.Result:
        try:
            envelope = c.decode(raw)
        except msgspec.DecodeError as error:
            return c.Failed(e.InvalidRequest.code, f"a command cannot be read: {error}")
        before = self.revision
        result = self._once(envelope) if envelope.session else self._result(envelope.command)
        if self.revision != before:
            self.changed()
        return result

    def _once(self, envelope: c.Envelope) -> c.Result:
        try:
            known = self.sessions.admit(envelope)
        except e.StoreFault as error:
            return c.Failed(error.code, str(error))
        if known is None:
            known = self._result(envelope.command)
            self.sessions.note(envelope, known)
        return known

    def _result(self, command: c.Command) -> c.Result:
        """A refusal is a result, equal on every member."""
        try:
            return self._run(command)
        except e.StoreFault as error:
            return c.Failed(error.code, str(error))

    def _run(self, command: c.Command) -> c.Applied:
        match command:
            case c.Txn():
                return c.Applied(txn=self._txn(command))
            case c.Grant():
                return c.Applied(lease=self.leases.grant(command.ttl_ms))
            case c.KeepAlive():
                self.leases.keep_alive(command.lease)
                return c.Applied(lease=command.lease)
            case c.Revoke():
                self._delete_all(self.leases.end([command.lease]))
            case c.Tick():
                self._delete_all(self.leases.end(self.leases.pass_time(command.elapsed_ms)))
            case c.Lead():
                self._write([Put(key=LEADER_KEY, value=command.node.encode())])
            case c.OpenSession():
                return c.Applied(session=self.sessions.open())
            case c.Compact():
                self._compact(command.revision)
            case c.Check():
                self.digesting = Digesting(command.nonce, self.revision, self.snapshot())
        return c.Applied()

    # -- transactions ------------------------------------------------------------------------------------------------

    def _txn(self, txn: c.Txn) -> TxnResult:
        check_txn(txn)
        succeeded = all(self.holds(compare) for compare in txn.compare)
        branch = txn.then if succeeded else txn.otherwise
        self._admit(branch)
        gets = self._write(branch)
        return TxnResult(succeeded=succeeded, revision=self.revision, gets=gets)

    def holds(self, compare: Compare) -> bool:
        item = self.keys.get(compare.key)
        if compare.field == "value":
            found: int | bytes = item.value if item is not None else b""
        else:
            found = int(getattr(item, compare.field)) if item is not None else 0
        if compare.op == "==":
            return found == compare.operand
        if compare.op == "!=":
            return found != compare.operand
        smaller = found < compare.operand  # type: ignore[operator]  # of one kind: `check_txn` saw to it
        return smaller if compare.op == "<" else not smaller and found != compare.operand

    def _write(self, operations: Sequence[Operation]) -> tuple[KeyValue | None, ...]:
        """All of it: what could be refused was checked before."""
        revision = Revision(self.revision + 1)
        events: list[WatchEvent] = []
        gets: list[KeyValue | None] = []
        replaced_bytes = 0
        for operation in operations:
            match operation:
                case Put():
                    item = self._item(operation, revision)
                    replaced_bytes += self.keys.put(item)
                    events.append(WatchEvent(kind="put", item=item))
                case Delete():
                    for gone in self._delete(operation, revision):
                        replaced_bytes += len(gone.value)
                        events.append(WatchEvent(kind="delete", item=_tombstone(gone.key, revision)))
                case Get():
                    gets.append(self.keys.get(operation.key))
        if events:
            self.revision = revision
            self.history.add(WatchBatch(revision=revision, events=tuple(events)), replaced_bytes)
            for batch in self.history.surplus():
                self._forget(batch)
        return tuple(gets)

    def _admit(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if isinstance(operation, Put) and operation.lease != NO_LEASE:
                self.leases.get(operation.lease)
        check_quotas(self.keys, operations)
        check_reads(self.keys, operations)

    def _item(self, put: Put, revision: Revision) -> KeyValue:
        before = self.keys.get(put.key)
        if before is not None and before.lease != put.lease:
            self.leases.detach(before.key, before.lease)
        if put.lease != NO_LEASE:
            self.leases.attach(put.key, put.lease)
        return KeyValue(
            key=put.key,
            value=put.value,
            create_revision=before.create_revision if before else revision,
            mod_revision=revision,
            version=before.version + 1 if before else 1,
            lease=put.lease,
        )

    def _delete(self, delete: Delete, revision: Revision) -> list[KeyValue]:
        doomed = [item.key for item in self.keys.below(delete.key)] if delete.prefix else [delete.key]
        found = [item for key in doomed if (item := self.keys.delete(key, revision)) is not None]
        for item in found:
            self.leases.detach(item.key, item.lease)
        return found

    def _delete_all(self, keys: Sequence[str]) -> None:
        if keys:
            self._write([Delete(key=key) for key in keys])

    # -- history -------------------------------------------------------------------------------------------------------

    def check_readable(self, revision: Revision) -> None:
        """Raises Compacted or InvalidRequest unless the state of that revision can be read."""
        if revision > self.revision:
            raise e.InvalidRequest(f"revision {revision} is not yet; the store is at {self.revision}")
        if revision < self.history.compacted:
            raise e.Compacted(self.history.compacted)

    def _compact(self, revision: Revision) -> None:
        if revision > self.revision:
            raise e.InvalidRequest(f"revision {revision} is not yet; the store is at {self.revision}")
        for batch in self.history.compact(revision):
            self._forget(batch)

    def _forget(self, batch: WatchBatch) -> None:
        self.keys.forget((event.item.key for event in batch.events), batch.revision)

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Iterator[StateBlock]:
        """The state as it is now, in pieces that are made one by one: items never change, so a list of them is a
        picture. What does change, leases and sessions, is copied."""
        first = StateBlock(revision=self.revision, next_lease=self.leases.next_id, next_session=self.sessions.next_id)
        leases = {
            number: Lease(each.ttl_ms, each.left_ms, set(each.keys), each.fresh) for number, each in self.leases.all()
        }
        sessions = [(number, Session(each.settled, dict(each.results))) for number, each in self.sessions.all()]
        return blocks_of(first, leases, sessions, self.keys.picture())

    def restore(self, blocks: Sequence[StateBlock]) -> None:
        """Replaces the state with one that `snapshot` gave."""
        first = blocks[0]
        self.revision = first.revision
        self.keys = Keyspace()
        for block in blocks:
            for item in block.items:
                self.keys.put(item)
        self.leases = Leases(leases_of(blocks), first.next_lease)
        self.sessions = Sessions(sessions_of(blocks), first.next_session)
        self.history = History(first.revision)
        self.changed()

    def digest_some(self) -> bool:
        """Goes on with the digest that a `Check` began; whether there is more to do."""
        if self.digesting is not None and (digest := self.digesting.step()) is not None:
            self.digest, self.digesting = digest, None
        return self.digesting is not None

    def state_hash(self) -> str:
        """Of keys and values: equal on members at the same revision."""
        digest = hashlib.sha256(str(self.revision).encode())
        for item in self.keys.below(""):
            digest.update(msgspec.msgpack.encode(item))
        return digest.hexdigest()

    def full_hash(self) -> str:
        """Of leases and sessions too, which change without a revision: equal on members that applied the same log."""
        leases = [
            (number, each.ttl_ms, each.left_ms, each.fresh, sorted(each.keys))
            for number, each in self.leases.by_id.items()
        ]
        rest = (self.state_hash(), leases, self.leases.next_id, self.sessions.by_id, self.sessions.next_id)
        return hashlib.sha256(msgspec.msgpack.encode(rest)).hexdigest()


def _tombstone(key: str, revision: Revision) -> KeyValue:
    return KeyValue(key=key, value=b"", create_revision=Revision(0), mod_revision=revision, version=0)
