"""The audit's chain grows: a leader service gives fresh records their place, and seals old ones into content."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec
import zstandard

from controllers.gate.audit import (
    AuditHead,
    AuditRecord,
    AuditSegment,
    ChainedRecord,
    chained,
)
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import Delete, KeyValue, Operation, Put, Revision, Store, led_by, unchanged
from runtime.state import keys
from runtime.state.values import encode

KEPT: Final = 1_000  # records in the store; older ones are content
SEGMENT: Final = 250  # records of one segment
BATCH: Final = 100
BATCH_BYTES: Final = 512 * 1024
LOOK_S: Final = 0.5

Keep = Callable[[bytes], Awaitable[str]]
"""Puts bytes into the content store, pinned for the audit; gives their SHA-256."""


class AuditChain:
    """`run` is a leader service: only a leader writes the chain, so that appends do not contend."""

    def __init__(self, store: Store, keep: Keep) -> None:
        self._store = store
        self._keep = keep

    async def run(self, fence: Revision) -> None:
        while True:
            while await self.append(fence):
                pass
            await self.seal(fence)
            await anyio.sleep(LOOK_S)

    async def append(self, fence: Revision) -> int:
        """How many records found their place. Raises NotLeader."""
        fresh = [
            item
            for prefix in (keys.AUDIT_FRESH, keys.AUDIT_REFUSED)
            for item in (await self._store.range(prefix, limit=BATCH)).items
        ]
        if not fresh:
            return 0
        head, at = await self._head()
        operations: list[Operation] = []
        size = taken = 0
        for item in sorted(fresh, key=lambda each: (each.mod_revision, each.key))[:BATCH]:
            size += len(item.value)
            if taken and size > BATCH_BYTES:
                break
            record = _chained(item, head)
            head = msgspec.structs.replace(head, number=record.number, hash=record.hash)
            operations += [Put(key=keys.audit(record.number), value=encode(record)), Delete(key=item.key)]
            taken += 1
        operations.append(Put(key=keys.AUDIT_HEAD, value=encode(head)))
        result = await self._store.txn([led_by(fence), unchanged(keys.AUDIT_HEAD, at)], operations)
        if not result.succeeded:
            raise NotLeader("")
        return taken

    async def seal(self, fence: Revision) -> bool:
        """Moves the oldest records into one segment, once there are that many too many."""
        head, at = await self._head()
        if head.number - head.sealed < KEPT + SEGMENT:
            return False
        items = (await self._store.range(keys.AUDIT, limit=SEGMENT)).items
        records = [msgspec.json.decode(item.value, type=ChainedRecord) for item in items]
        packed = pack(records)
        segment = AuditSegment(
            first=records[0].number,
            last=records[-1].number,
            sha256=await self._keep(packed),
            previous=records[0].previous,
            hash=records[-1].hash,
            size_bytes=len(packed),
        )
        operations: list[Operation] = [Delete(key=item.key) for item in items]
        operations += [
            Put(key=keys.audit_segment(segment.first), value=encode(segment)),
            Put(key=keys.AUDIT_HEAD, value=encode(msgspec.structs.replace(head, sealed=segment.last))),
        ]
        result = await self._store.txn([led_by(fence), unchanged(keys.AUDIT_HEAD, at)], operations)
        if not result.succeeded:
            raise NotLeader("")
        return True

    async def _head(self) -> tuple[AuditHead, Revision]:
        item = (await self._store.get(keys.AUDIT_HEAD)).item
        if item is None:
            return AuditHead(), Revision(0)
        return msgspec.json.decode(item.value, type=AuditHead), item.mod_revision


def _chained(item: KeyValue, head: AuditHead) -> ChainedRecord:
    record = msgspec.json.decode(item.value, type=AuditRecord)
    return chained(record, number=head.number + 1, revision=int(item.mod_revision), previous=head.hash)


def pack(records: Sequence[ChainedRecord]) -> bytes:
    """zstd of one JSON document a line."""
    return zstandard.compress(b"\n".join(msgspec.json.encode(each) for each in records))


def unpack(raw: bytes) -> list[ChainedRecord]:
    lines = zstandard.decompress(raw, max_output_size=64 * 1024 * 1024).splitlines()
    return [msgspec.json.decode(line, type=ChainedRecord) for line in lines]
