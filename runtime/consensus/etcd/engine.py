"""The engine on an etcd cluster: changes go to etcd, reads come from a copy that was confirmed to be new enough."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from aetcd.rpc import rpc_pb2 as pb

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.digest import Digest
from runtime.consensus.etcd.channel import CALL_S, Channel, EtcdAddress, LeaseTaken, asked
from runtime.consensus.etcd.leader import Election, keep_alive
from runtime.consensus.etcd.mirror import Mirror
from runtime.consensus.etcd.names import digits, lease_number, names_of
from runtime.consensus.etcd.transactions import SUCCEEDED, expected, guards, item_of, once, plain, request
from runtime.consensus.figures import Fill, Note, StoreFigures
from runtime.consensus.leases import TTL_MS_MAX, TTL_MS_MIN
from runtime.consensus.limits import check_txn
from runtime.consensus.quota_check import check_quotas
from runtime.consensus.read_check import check_reads
from runtime.consensus.store import Get, KeyValue, LeaseId, Put, Revision, StoreStatus, TxnResult
from runtime.state.quotas import TOTAL_BYTES_MAX, fullest

PENDING_MAX: Final = 4_096  # as the raft engine has
SESSION_S: Final = 3_600  # a session that is not used for so long is forgotten, with its results
SESSION_KEEP_S: Final = 600.0
SESSIONS_MAX: Final = 4_096  # kept alive by this process at the same time
CORE_NODES: Final = "_core/"


class EtcdEngine:
    """Implements OperableEngine. `run` keeps the copy and stands for election."""

    def __init__(self, *, node: str, cluster: str, address: EtcdAddress, store_address: str, note: Note) -> None:
        self.node = node
        self._store_address = store_address
        self._channel = Channel(address)
        self._names = names_of(address.prefix, cluster)
        self._mirror = Mirror(self._channel, self._names, note)
        self._election = Election(self._channel, self._names, self._mirror, node)
        self._pending = 0
        self._kept_at_s: dict[int, float] = {}
        self.machine = self._mirror.machine
        self.changes = self._mirror.changes

    async def run(self) -> None:
        await asyncio.gather(self._mirror.run(), self._election.run())

    async def close(self) -> None:
        """A leader that stops makes room at once, if etcd can be reached."""
        try:
            await self._election.resign()
        except e.StoreFault:
            pass  # its lease ends by itself
        finally:
            await self._channel.close()

    # -- Engine --------------------------------------------------------------------------------------------------------

    async def propose(self, command: bytes) -> c.Result:
        if self._pending >= PENDING_MAX:
            raise e.Overloaded(f"{PENDING_MAX} changes are waiting for etcd")
        self._pending += 1
        try:
            return await self._run(c.decode(command))
        finally:
            self._pending -= 1

    async def confirm(self) -> None:
        """A linearizable read says how far etcd is; the copy must be there."""
        request = pb.RangeRequest(key=self._names.marker, count_only=True)
        answer = await asked(self._channel.kv.Range(request, timeout=CALL_S))
        await self._mirror.reach(answer.header.revision)

    def leader(self) -> str:
        return self._election.leader()

    async def status(self) -> StoreStatus:
        answer = await asked(self._channel.maintenance.Status(pb.StatusRequest(), timeout=CALL_S))
        return StoreStatus(
            node=self.node,
            leader=self.leader(),
            term=answer.raftTerm,
            revision=self.machine.revision,
            members=tuple(sorted(self.members())) or (self.node,),
            has_quorum=answer.leader != 0,
            commit_index=answer.raftIndex,
            log_bytes=answer.dbSize,
        )

    async def _run(self, envelope: c.Envelope) -> c.Applied:
        match envelope.command:
            case c.Txn():
                return c.Applied(txn=await self._txn(envelope.command, envelope))
            case c.Grant(ttl_ms):
                return c.Applied(lease=await self._grant(ttl_ms, envelope))
            case c.KeepAlive(lease):
                await keep_alive(self._channel, lease)
                return c.Applied(lease=lease)
            case c.Revoke(lease):
                await self._revoke(lease)
            case c.OpenSession():
                return c.Applied(session=await self._open_session())
            case c.Compact(revision):
                await self._compact(revision)
            case other:
                raise e.NotOnThisEngine(f"etcd has no {type(other).__name__.lower()}")
        return c.Applied()

    # -- transactions --------------------------------------------------------------------------------------------------

    async def _txn(self, txn: c.Txn, envelope: c.Envelope) -> TxnResult:
        check_txn(txn)
        branch = txn.then if all(self.machine.holds(each) for each in txn.compare) else txn.otherwise
        check_quotas(self.machine.keys, branch)
        check_reads(self.machine.keys, branch)
        if envelope.session:
            await self._keep_session(envelope.session)
        async with _in_time():
            while True:
                done = await self._attempt(txn, envelope)
                if done is not None:
                    return done

    async def _attempt(self, txn: c.Txn, envelope: c.Envelope) -> TxnResult | None:
        """None: what the copy says is there was not, so that it must be asked again."""
        keys = self.machine.keys
        guarded = guards(self._names, txn, keys)
        asked_for = expected(txn, keys) or c.Txn((), txn.otherwise, txn.otherwise)
        decided = expected(txn, keys) is None
        if envelope.session:
            wanted = once(self._names, asked_for, envelope, guarded)
        else:
            wanted = plain(request(self._names, asked_for), guarded)
        outer = await asked(self._channel.kv.Txn(wanted, timeout=CALL_S))
        if outer.succeeded:
            answer = outer.responses[0].response_txn
            return await self._result(answer, txn, outer.header.revision, answer.succeeded and not decided)
        if envelope.session:
            result, session = (each.response_range.kvs for each in outer.responses)
            if result:
                return await self._again(txn, result[0].value == SUCCEEDED, result[0].mod_revision)
            if not session or session[0].value > digits(envelope.sequence):
                raise e.SessionLost(f"change {envelope.sequence} of session {envelope.session:x} is no longer known")
        await self._mirror.reach(outer.header.revision)
        return None

    async def _result(self, answer: pb.TxnResponse, txn: c.Txn, revision: int, succeeded: bool) -> TxnResult:
        await self._mirror.reach(revision)
        branch = txn.then if succeeded else txn.otherwise
        gets: list[KeyValue | None] = []
        for operation, response in zip(branch, answer.responses, strict=False):
            if isinstance(operation, Get):
                kvs = response.response_range.kvs
                gets.append(item_of(self._names, kvs[0]) if kvs else None)
        return TxnResult(succeeded=succeeded, revision=Revision(revision), gets=tuple(gets))

    async def _again(self, txn: c.Txn, succeeded: bool, revision: int) -> TxnResult:
        """The answer that was lost. What the branch read is read again: as it was before, or as the branch left it."""
        await self._mirror.reach(revision)
        written: set[str] = set()
        prefixes: tuple[str, ...] = ()
        gets: list[KeyValue | None] = []
        for operation in txn.then if succeeded else txn.otherwise:
            if isinstance(operation, Get):
                after = operation.key in written or operation.key.startswith(prefixes)
                gets.append(await self._read_at(operation.key, revision if after else revision - 1))
            elif isinstance(operation, Put) or not operation.prefix:
                written.add(operation.key)
            else:
                prefixes = (*prefixes, operation.key)
        return TxnResult(succeeded=succeeded, revision=Revision(revision), gets=tuple(gets))

    async def _read_at(self, key: str, revision: int) -> KeyValue | None:
        request = pb.RangeRequest(key=self._names.key(key), revision=revision)
        try:
            kvs = (await asked(self._channel.kv.Range(request, timeout=CALL_S))).kvs
        except e.InvalidRequest as gone:
            raise e.SessionLost("the change was applied; what it read is no longer known") from gone
        return item_of(self._names, kvs[0]) if kvs else None

    # -- leases and sessions -------------------------------------------------------------------------------------------

    async def _grant(self, ttl_ms: int, envelope: c.Envelope) -> LeaseId:
        """etcd counts seconds: rounded up, so that a lease lasts longer and never shorter. One that is asked for again
        because its answer was lost is the same lease."""
        if not TTL_MS_MIN <= ttl_ms <= TTL_MS_MAX:
            raise e.InvalidRequest(f"a lease lasts {TTL_MS_MIN} to {TTL_MS_MAX} ms, not {ttl_ms}")
        number = lease_number(envelope.session, envelope.sequence) if envelope.session else 0
        return LeaseId(await self._lease(-(-ttl_ms // 1_000), number))

    async def _lease(self, ttl_s: int, number: int = 0) -> int:
        """With the id `number`, or one that etcd chooses."""
        grant = pb.LeaseGrantRequest(TTL=ttl_s, ID=number)
        try:
            return int((await asked(self._channel.lease.LeaseGrant(grant, timeout=CALL_S))).ID)
        except LeaseTaken:
            return number

    async def _revoke(self, lease: int) -> None:
        try:
            answer = await asked(self._channel.lease.LeaseRevoke(pb.LeaseRevokeRequest(ID=lease), timeout=CALL_S))
        except e.LeaseNotFound:
            return
        await self._mirror.reach(answer.header.revision)

    async def _open_session(self) -> int:
        number = await self._lease(SESSION_S)
        put = pb.PutRequest(key=self._names.session(number), value=digits(0), lease=number)
        await asked(self._channel.kv.Put(put, timeout=CALL_S))
        self._kept(number)
        return number

    async def _keep_session(self, number: int) -> None:
        if time.monotonic() - self._kept_at_s.get(number, -SESSION_KEEP_S) < SESSION_KEEP_S:
            return
        try:
            await keep_alive(self._channel, number)
        except e.LeaseNotFound as lost:
            self._kept_at_s.pop(number, None)
            raise e.SessionLost(f"session {number:x} was not used for {SESSION_S} s, or never was") from lost
        self._kept(number)

    def _kept(self, number: int) -> None:
        self._kept_at_s.pop(number, None)
        self._kept_at_s[number] = time.monotonic()
        if len(self._kept_at_s) > SESSIONS_MAX:
            del self._kept_at_s[next(iter(self._kept_at_s))]

    async def _compact(self, revision: Revision) -> None:
        await self.confirm()
        if revision > self.machine.revision:
            raise e.InvalidRequest(f"revision {revision} is not yet; the store is at {self.machine.revision}")
        with contextlib.suppress(e.InvalidRequest):  # gone already
            await asked(self._channel.kv.Compact(pb.CompactionRequest(revision=revision), timeout=CALL_S))
        self._mirror.forget(self.machine.history.compact(revision))

    # -- members -------------------------------------------------------------------------------------------------------

    def members(self) -> dict[str, str]:
        """Core nodes and where their stores listen. They are etcd's clients, none is more than another."""
        return {item.key.removeprefix(CORE_NODES): item.value.decode() for item in self.machine.keys.below(CORE_NODES)}

    async def register(self) -> None:
        """Lets other nodes find this one's store."""
        await self.add_member(self.node, self._store_address)

    async def add_member(self, node: str, address: str, *, rises: bool = True) -> None:
        put = pb.PutRequest(key=self._names.key(CORE_NODES + node), value=address.encode())
        answer = await asked(self._channel.kv.Put(put, timeout=CALL_S))
        await self._mirror.reach(answer.header.revision)

    async def remove_member(self, node: str) -> None:
        gone = pb.DeleteRangeRequest(key=self._names.key(CORE_NODES + node))
        answer = await asked(self._channel.kv.DeleteRange(gone, timeout=CALL_S))
        await self._mirror.reach(answer.header.revision)

    async def promote_member(self, node: str) -> None:
        raise e.NotOnThisEngine(f"{node} has no vote to be given: etcd's own members vote")

    async def transfer(self, to: str) -> str:
        raise e.NotOnThisEngine("etcd's own members choose who leads them: etcdctl move-leader")

    async def digest(self, nonce: str) -> Digest:
        raise e.NotOnThisEngine("etcd compares its members itself: etcdctl endpoint hashkv")

    async def fresh_snapshot(self, at_least: Revision) -> BinaryIO:
        raise e.NotOnThisEngine("etcd makes its own snapshots: etcdctl snapshot save")

    def figures(self) -> StoreFigures:
        keys = self.machine.keys
        return StoreFigures(
            node=self.node,
            leads=self.leader() == self.node,
            has_leader=self.leader() != "",
            pending_proposals=self._pending,
            sessions=len(self._kept_at_s),
            keys=len(keys),
            history_revisions=len(self.machine.history),
            state=Fill(keys.bytes_total, TOTAL_BYTES_MAX),
            quotas={kind: Fill(*fill) for kind, fill in fullest(keys.weights).items()},
        )


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(2 * CALL_S):
            yield
    except TimeoutError:
        raise e.StoreUnavailable("the keys compared changed too often meanwhile") from None
