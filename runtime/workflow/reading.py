"""Reading whole prefixes, page by page, as one picture."""

from __future__ import annotations

import msgspec

from runtime.consensus.store import NOW, KeyValue, Revision, Store


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    items: list[KeyValue]
    revision: Revision


async def everything(store: Store, prefix: str, at: Revision = NOW) -> Picture:
    """What stands below the prefix. Raises StoreFault."""
    found: list[KeyValue] = []
    after, more = "", True
    while more:
        page = await store.range(prefix, after=after, at_revision=at)
        at = at or page.revision
        found += page.items
        after, more = page.items[-1].key if page.more else "", page.more
    return Picture(items=found, revision=at)
