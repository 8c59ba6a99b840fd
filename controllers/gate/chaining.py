"""The audit's chain grows: a leader service gives fresh records their place, and seals old ones into content."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec
import zstandard

from controllers.gate.audit import AuditBroken, AuditHead, AuditSegment, Link, link, read_link
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import NOW, Delete, KeyValue, Operation, Put, Revision, Store, led_by, unchanged
from runtime.errors import RuntimeFault
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import encode

KEPT: Final = 1_000  # records in the store; older ones are content
SEGMENT: Final = 250  # records of one segment: a transaction deletes them all
BATCH: Final = 100
BATCH_BYTES: Final = 512 * 1024
RAW_BYTES_MAX: Final = 48 * 1024  # of a record: with its place it must fit a value of 64 KiB
LOOK_S: Final = 0.5
SEAL_RETRY_S: Final = 30.0  # each try packs and stores 250 records
FRESH: Final = (keys.AUDIT_FRESH, keys.AUDIT_JOINED, keys.AUDIT_REFUSED)

Keep = Callable[[bytes], Awaitable[str]]
"""Puts bytes into the content store, pinned for the audit; gives their SHA-256. Raises RuntimeFault, OSError."""


class AuditChain:
    """`run` is a leader service: only a leader writes the chain, so that appends do not contend."""

    def __init__(self, store: Store, keep: Keep, log: Lines) -> None:
        self._store = store
        self._keep = keep
        self._log = log
        self._seal_at = 0.0

    async def run(self, fence: Revision) -> None:
        while True:
            appended = await self.append(fence)
            sealed = anyio.current_time() >= self._seal_at and await self.seal(fence)
            if not appended and not sealed:
                await anyio.sleep(LOOK_S)

    async def append(self, fence: Revision) -> int:
        """How many records found their place, in the order of their revisions. Raises NotLeader."""
        head, at = await self._head()  # before the records: what is chained meanwhile changes it
        fresh = sorted(await self._fresh(), key=lambda each: (each.mod_revision, each.key))
        for batch in _batches(fresh):
            operations: list[Operation] = []
            for item in batch:
                placed = link(
                    _record(item), number=head.number + 1, revision=int(item.mod_revision), previous=head.hash
                )
                head = msgspec.structs.replace(head, number=placed.number, hash=placed.hash)
                operations += [Put(key=keys.audit(placed.number), value=msgspec.json.encode(placed))]
                operations += [Delete(key=item.key)]
            at = await self._write(fence, at, operations, head)
        return len(fresh)

    async def _fresh(self) -> list[KeyValue]:
        """All at one revision: of a part of them, the oldest would not be known, and one written while the next prefix
        is read would come before older ones of the first."""
        found: list[KeyValue] = []
        revision = NOW
        for prefix in FRESH:
            after, more = "", True
            while more:
                page = await self._store.range(prefix, after=after, at_revision=revision)
                revision = revision or page.revision
                found += page.items
                after, more = page.items[-1].key if page.more else "", page.more
        return found

    async def seal(self, fence: Revision) -> bool:
        """Moves the oldest records into one segment, once there are that many too many. Raises NotLeader."""
        head, at = await self._head()
        if head.number - head.sealed < KEPT + SEGMENT:
            return False
        items = (await self._store.range(keys.AUDIT, limit=SEGMENT)).items
        links = [read_link(item.value) for item in items]
        packed = pack(links)
        try:
            sha256 = await self._keep(packed)
        except (RuntimeFault, OSError) as error:  # they stay in the store, which has room for some thousand more
            self._log.warning("audit_not_sealed", first=links[0].number, reason=str(error))
            self._seal_at = anyio.current_time() + SEAL_RETRY_S
            return False
        segment = AuditSegment(
            first=links[0].number,
            last=links[-1].number,
            sha256=sha256,
            previous=links[0].previous,
            hash=links[-1].hash,
            size_bytes=len(packed),
        )
        operations: list[Operation] = [Delete(key=item.key) for item in items]
        operations.append(Put(key=keys.audit_segment(segment.first), value=encode(segment)))
        await self._write(fence, at, operations, msgspec.structs.replace(head, sealed=segment.last))
        return True

    async def _write(self, fence: Revision, at: Revision, operations: list[Operation], head: AuditHead) -> Revision:
        """The revision that the head has then."""
        result = await self._store.txn(
            [led_by(fence), unchanged(keys.AUDIT_HEAD, at)],
            [*operations, Put(key=keys.AUDIT_HEAD, value=encode(head))],
        )
        if not result.succeeded:
            raise NotLeader("")
        return result.revision

    async def _head(self) -> tuple[AuditHead, Revision]:
        item = (await self._store.get(keys.AUDIT_HEAD)).item
        if item is None:
            return AuditHead(), Revision(0)
        return msgspec.json.decode(item.value, type=AuditHead), item.mod_revision


def _batches(items: Sequence[KeyValue]) -> list[list[KeyValue]]:
    """What one transaction takes each."""
    found: list[list[KeyValue]] = []
    size = 0
    for item in items:
        size += len(item.value)
        if not found or len(found[-1]) == BATCH or size > BATCH_BYTES:
            found.append([])
            size = len(item.value)
        found[-1].append(item)
    return found


def _record(item: KeyValue) -> dict[str, Json]:
    """As it was written, whatever this version knows of it: nothing may keep the records behind it out."""
    told: dict[str, Json] = {
        "id": item.key.partition("/")[2],
        "kind": "unreadable",
        "detail": {"sha256": hashlib.sha256(item.value).hexdigest(), "bytes": len(item.value)},
    }
    if len(item.value) > RAW_BYTES_MAX:
        return told
    try:
        return msgspec.json.decode(item.value, type=dict[str, Json])
    except msgspec.DecodeError:
        return told


def pack(links: Sequence[Link]) -> bytes:
    """zstd of one JSON document a line."""
    return zstandard.compress(b"\n".join(msgspec.json.encode(each) for each in links))


def unpack(raw: bytes) -> list[Link]:
    """Raises AuditBroken."""
    try:
        lines = zstandard.decompress(raw, max_output_size=64 * 1024 * 1024).splitlines()
    except zstandard.ZstdError as error:
        raise AuditBroken(f"a segment cannot be unpacked: {error}") from error
    return [read_link(line) for line in lines]
