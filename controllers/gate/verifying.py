"""The whole audit read from its first record on, and shown to hold together: sealed segments, kept records, head."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from controllers.gate.audit import AuditBroken, AuditHead, AuditSegment, Link, Place, read_link, verify
from controllers.gate.chaining import unpack
from runtime.consensus.store import NOW, KeyValue, Revision, Store
from runtime.errors import RuntimeFault
from runtime.state import keys

Load = Callable[[str], Awaitable[bytes]]
"""The bytes with that SHA-256. Raises RuntimeFault."""


class AuditReader:
    """On any node. What it reads is one picture: that of the revision at which it began."""

    def __init__(self, store: Store, load: Load) -> None:
        self._store = store
        self._load = load

    async def links(self) -> AsyncIterator[Link]:
        """Every record in its order, unverified: what an export has, a line each. Raises AuditBroken, StoreFault."""
        _, revision = await self._head()
        async for links in self._parts(revision):
            for each in links:
                yield each

    async def verify(self) -> Place:
        """The last place. Raises AuditBroken, which names where; StoreFault."""
        head, revision = await self._head()
        at = Place()
        async for links in self._parts(revision):
            at = verify(links, at)
        if (at.number, at.hash) != (head.number, head.hash):
            raise AuditBroken(f"the chain ends with record {at.number}, and its head says {head.number}")
        return at

    async def _head(self) -> tuple[AuditHead, Revision]:
        found = await self._store.get(keys.AUDIT_HEAD)
        if found.item is None:
            return AuditHead(), found.revision
        return msgspec.json.decode(found.item.value, type=AuditHead), found.revision

    async def _parts(self, revision: Revision) -> AsyncIterator[list[Link]]:
        async for item in self._items(keys.AUDIT_SEGMENTS, revision):
            try:
                segment = msgspec.json.decode(item.value, type=AuditSegment)
            except msgspec.DecodeError as error:
                raise AuditBroken(f"{item.key} cannot be read: {error}") from error
            yield await self._sealed(segment)
        async for item in self._items(keys.AUDIT, revision):
            found = read_link(item.value)
            if item.key != keys.audit(found.number):
                raise AuditBroken(f"record {found.number} lies at {item.key}")
            yield [found]

    async def _sealed(self, segment: AuditSegment) -> list[Link]:
        words = f"the segment of records {segment.first} to {segment.last}"
        try:
            raw = await self._load(segment.sha256)
        except RuntimeFault as fault:
            raise AuditBroken(f"{words} is lost: {fault}") from fault
        if hashlib.sha256(raw).hexdigest() != segment.sha256:
            raise AuditBroken(f"{words} is not what its hash says")
        links = unpack(raw)
        ends = (links[0].number, links[0].previous, links[-1].number, links[-1].hash) if links else None
        if ends != (segment.first, segment.previous, segment.last, segment.hash):
            raise AuditBroken(f"{words} holds others")
        return links

    async def _items(self, prefix: str, revision: Revision) -> AsyncIterator[KeyValue]:
        after, more = "", True
        while more:
            page = await self._store.range(prefix, after=after, at_revision=revision or NOW)
            for item in page.items:
                yield item
            after, more = page.items[-1].key if page.more else "", page.more
