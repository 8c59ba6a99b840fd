"""A copy of what lies below the prefix, filled by one range and one watch without a gap: reads, watches and quotas."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from typing import Final

import grpc
from aetcd.rpc import kv_pb2
from aetcd.rpc import rpc_pb2 as pb

from runtime.consensus import errors as e
from runtime.consensus.etcd.channel import CALL_S, Channel, asked, fault_of
from runtime.consensus.etcd.names import Names, end_of
from runtime.consensus.etcd.transactions import item_of
from runtime.consensus.figures import Note
from runtime.consensus.history import History
from runtime.consensus.keyspace import Keyspace
from runtime.consensus.machine import Machine
from runtime.consensus.signal import Signal
from runtime.consensus.store import KeyValue, Revision, WatchBatch, WatchEvent

PAGE_KEYS: Final = 500  # 500 x 64 KiB stays below what one answer may weigh
AGAIN_S: Final = 0.2
END_S: Final = 1.0
HAS_LEADER: Final = (
    ("hasleader", "true"),
)  # etcd ends a watch of this kind at a member that is cut off from the others
NUDGE_S: Final = 0.05  # how long others' revisions may hold up a reader before a marker is written


class Mirror:
    """`machine` is never given a command: its keys and history follow etcd's."""

    def __init__(self, channel: Channel, names: Names, note: Note) -> None:
        self._channel = channel
        self._names = names
        self._note = note
        self.machine = Machine()
        self.changes = Signal()
        self._loaded = False

    async def run(self) -> None:
        """Follows until it is cancelled; goes on after a lost connection where it stood."""
        while True:
            try:
                if not self._loaded:
                    await self._load()
                await self._follow()
            except grpc.aio.AioRpcError as error:
                self._note("etcd_watch_lost", {"error": str(fault_of(error))})
            except e.StoreFault as error:
                self._note("etcd_watch_lost", {"error": str(error)})
            await asyncio.sleep(AGAIN_S)

    async def reach(self, revision: int) -> None:
        """Returns once everything up to that revision is here. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(CALL_S):
                while True:
                    seen = self.changes.count
                    if self._loaded and self.machine.revision >= revision:
                        return
                    await self._news(seen)
        except TimeoutError:
            raise e.StoreUnavailable("the copy of what etcd holds did not catch up in time") from None

    async def _news(self, seen: int) -> None:
        """In a shared etcd a revision may be somebody else's and never be seen here: a later one of ours passes it."""
        try:
            async with asyncio.timeout(NUDGE_S):
                await self.changes.after(seen)
        except TimeoutError:
            await asked(self._channel.kv.Put(pb.PutRequest(key=self._names.marker), timeout=CALL_S))

    # -- filling -------------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        items, revision = await self._read_all()
        machine = self.machine
        machine.keys = Keyspace()
        for item in items:
            machine.keys.put(item)
        machine.history = History(Revision(revision))
        machine.revision = Revision(revision)
        self._loaded = True
        self.changes.fire()

    async def _read_all(self) -> tuple[list[KeyValue], int]:
        """One picture: every page is read at the first one's revision."""
        items: list[KeyValue] = []
        start, end, revision = self._names.data, end_of(self._names.data), 0
        while True:
            request = pb.RangeRequest(key=start, range_end=end, limit=PAGE_KEYS, revision=revision)
            answer = await asked(self._channel.kv.Range(request, timeout=CALL_S))
            revision = revision or answer.header.revision
            items.extend(item_of(self._names, found) for found in answer.kvs)
            if not answer.more:
                return items, revision
            start = answer.kvs[-1].key + b"\0"

    async def _follow(self) -> None:
        create = pb.WatchCreateRequest(
            key=self._names.root, range_end=end_of(self._names.root), start_revision=self.machine.revision + 1
        )
        over = asyncio.Event()
        requests = _kept_open(pb.WatchRequest(create_request=create), over)
        call = self._channel.watch.Watch(requests, metadata=HAS_LEADER)
        try:
            async for answer in call:
                self._take(answer)
        finally:
            over.set()
            await _ended(call)

    def _take(self, answer: pb.WatchResponse) -> None:
        if answer.canceled:
            self._loaded = answer.compact_revision == 0  # else what is missing is gone: read all again
            raise e.StoreUnavailable(f"etcd ended the watch: {answer.cancel_reason or 'history is gone'}")
        for revision, events in groupby(answer.events, key=lambda event: int(event.kv.mod_revision)):
            self._apply(revision, events)
        if answer.events:
            self.changes.fire()

    def _apply(self, revision: int, events: Iterable[kv_pb2.Event]) -> None:
        machine, batch, replaced_bytes = self.machine, list[WatchEvent](), 0
        for event in events:
            if not event.kv.key.startswith(self._names.data):
                continue
            item = item_of(self._names, event.kv)
            if event.type == kv_pb2.Event.PUT:
                replaced_bytes += machine.keys.put(item)
                batch.append(WatchEvent(kind="put", item=item))
            else:
                gone = machine.keys.delete(item.key, Revision(revision))
                replaced_bytes += len(gone.value) if gone else 0
                batch.append(WatchEvent(kind="delete", item=item))
        machine.revision = Revision(revision)
        if batch:
            machine.history.add(WatchBatch(revision=Revision(revision), events=tuple(batch)), replaced_bytes)
            self.forget(machine.history.surplus())

    def forget(self, batches: Iterable[WatchBatch]) -> None:
        for batch in batches:
            self.machine.keys.forget((event.item.key for event in batch.events), batch.revision)


async def _ended(call: grpc.aio.StreamStreamCall[pb.WatchRequest, pb.WatchResponse]) -> None:
    """A call that is merely dropped goes on in gRPC's own queue, and outlives the loop."""
    call.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await call.code()


async def _kept_open(request: pb.WatchRequest, over: asyncio.Event) -> AsyncIterator[pb.WatchRequest]:
    """A stream that ends would end the watch. gRPC itself forgets to end it where the call failed."""
    yield request
    await over.wait()
