"""This node's place in the cluster: its record, its lease, and what it publishes under that lease."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Final, Protocol

import anyio

from runtime.clock import Clock
from runtime.consensus.errors import LeaseNotFound, StoreFault
from runtime.consensus.store import NO_LEASE, Delete, LeaseId, Operation, Put, Revision, Store, absent, unchanged
from runtime.state import keys
from runtime.state.values import NODE_LEASE_MS, NodeLive, NodeRecord, decode, encode

KEEP_ALIVE_S: Final = 1.0
RETRY_S: Final = 0.2
BATCH_MAX: Final = 100


class Lines(Protocol):
    """What is needed of a log."""

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...


class Publisher:
    """Keys under the node's lease. Whoever sets one does not wait for the store; a lost lease is made good."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        self._lease = NO_LEASE
        self._changed = anyio.Event()
        self._clean = anyio.Event()
        self.lease_lost: Callable[[], None] = lambda: None

    def set(self, key: str, value: bytes) -> None:
        if self._wanted.get(key) != value:
            self._wanted[key] = value
            self._note(key)

    def remove(self, key: str) -> None:
        self._wanted.pop(key, None)
        self._note(key)

    def use(self, lease: LeaseId) -> None:
        """A new lease: everything is written again under it."""
        self._lease = lease
        self._dirty |= self._wanted.keys()
        self._changed.set()

    async def written(self, *, limit_s: float) -> bool:
        """Waits until the store has it all; False when that took too long."""
        with anyio.move_on_after(limit_s):
            while self._dirty:
                await self._clean.wait()
            return True
        return False

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            while self._dirty and self._lease != NO_LEASE:
                await self._write(sorted(self._dirty)[:BATCH_MAX])
            if not self._dirty:
                self._clean.set()

    async def _write(self, batch: list[str]) -> None:
        values = {key: self._wanted.get(key) for key in batch}
        operations: list[Operation] = [
            Delete(key=key) if value is None else Put(key=key, value=value, lease=self._lease)
            for key, value in values.items()
        ]
        try:
            await self._store.txn((), operations)
        except LeaseNotFound:
            self._lease = NO_LEASE
            self.lease_lost()
            return
        except StoreFault:
            await anyio.sleep(RETRY_S)
            return
        self._dirty -= {key for key, value in values.items() if self._wanted.get(key) == value}

    def _note(self, key: str) -> None:
        self._dirty.add(key)
        self._clean = anyio.Event()
        self._changed.set()


class Membership:
    """Registers the node and keeps its lease. `run` never returns; `leave` ends the membership."""

    def __init__(self, *, store: Store, record: NodeRecord, publisher: Publisher, clock: Clock, log: Lines) -> None:
        self._store = store
        self._record = record
        self._publisher = publisher
        self._clock = clock
        self._log = log
        self._lease = NO_LEASE
        self._lost = anyio.Event()
        self._left = False
        self._registered = anyio.Event()
        self._registered_at = Revision(0)
        publisher.lease_lost = self._lose
        live = NodeLive(
            boot=secrets.token_hex(8),
            started_unix_ms=clock.unix_ms(),
            cpu_count=os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        )
        publisher.set(keys.node_live(record.node), encode(live))

    async def run(self) -> None:
        while not self._left:
            try:
                self._registered_at = await self._register()
                self._registered.set()
                lease = await self._store.grant(NODE_LEASE_MS)
            except StoreFault as error:
                self._log.warning("membership_waits", reason=str(error))
                await anyio.sleep(RETRY_S)
                continue
            self._lease, self._lost = lease, anyio.Event()
            self._publisher.use(lease)
            self._log.info("lease_granted", lease=lease)
            await self._keep(lease)
        await anyio.sleep_forever()

    async def registered(self) -> Revision:
        """Returns once the node's record is this start's, and as of which revision that is so."""
        await self._registered.wait()
        return self._registered_at

    async def leave(self) -> None:
        """The node's keys go at once instead of when the lease ends."""
        self._left = True
        self._lose()
        await self._store.revoke(self._lease)

    async def _register(self) -> Revision:
        """Writes the node's record, unless it stands already. Marks of leaving from before this start are taken off;
        those from since then stay, also when the lease was lost meanwhile."""
        key = keys.node(self._record.node)
        while True:  # what was read is compared: somebody may cordon the node at this moment
            read = await self._store.get(key)
            found, record = read.item, self._record
            if found is not None:
                record = _with_marks(record, decode(found.value, NodeRecord), cordon_only=not self._registered.is_set())
                if found.value == encode(record):
                    return read.revision
            as_read = unchanged(key, found.mod_revision) if found is not None else absent(key)
            result = await self._store.txn([as_read], [Put(key=key, value=encode(record))])
            if result.succeeded:
                return result.revision

    async def _keep(self, lease: LeaseId) -> None:
        while not self._lost.is_set():
            with anyio.move_on_after(KEEP_ALIVE_S):
                await self._lost.wait()
            try:
                await self._store.keep_alive(lease)
            except LeaseNotFound:
                self._log.warning("lease_lost", lease=lease)
                return
            except StoreFault as error:
                self._log.warning("lease_not_kept", reason=str(error))

    def _lose(self) -> None:
        self._lost.set()


def _with_marks(record: NodeRecord, known: NodeRecord, *, cordon_only: bool) -> NodeRecord:
    return NodeRecord(
        node=record.node,
        role=record.role,
        zone=record.zone,
        addresses=record.addresses,
        cordoned=known.cordoned,
        leaving=known.leaving and not cordon_only,
        shutdown=known.shutdown and not cordon_only,
    )
