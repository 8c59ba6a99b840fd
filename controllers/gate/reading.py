"""Reading the audit back, the newest first, from what the store holds of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Final

import msgspec

from controllers.gate.audit import AuditHead, AuditRecord, ChainedRecord, read_chained, read_record
from controllers.gate.errors import ProposalNotFound
from controllers.gate.proposals import Proposal, read_proposal
from runtime.consensus.store import Store
from runtime.deployment.records import Snapshot
from runtime.spelling import nearest
from runtime.state import keys

STEP: Final = 200  # records of one read: some 200 kB
FRESH_MAX: Final = 1_000


async def audit_head(store: Store) -> AuditHead:
    item = (await store.get(keys.AUDIT_HEAD, stale_ok=True)).item
    return msgspec.json.decode(item.value, type=AuditHead) if item is not None else AuditHead()


async def chained_before(store: Store, number: int, sealed: int) -> AsyncIterator[ChainedRecord]:
    """Records with numbers below `number` and above `sealed`, newest first. Raises StoreFault."""
    while number > sealed + 1:
        first = max(sealed, number - 1 - STEP)
        found: list[ChainedRecord] = []
        after = keys.audit(first)
        while after < keys.audit(number - 1):
            page = await store.range(keys.AUDIT, after=after, limit=STEP, stale_ok=True)
            if not page.items:
                break
            found += [read_chained(item.value) for item in page.items]
            after = page.items[-1].key
        for each in reversed(found):
            if each.number < number:
                yield each
        number = first + 1


async def newest_of(store: Store, subjects: Collection[str], most: int) -> list[AuditRecord]:
    """The newest records about any of the subjects, those included that have no place in the chain yet."""
    fresh = await store.range(keys.AUDIT_FRESH, limit=FRESH_MAX, stale_ok=True)
    records = [read_record(item.value) for item in fresh.items]
    found = [each for each in reversed(records) if each.subject in subjects][:most]
    head = await audit_head(store)
    known = {each.id for each in found}
    async for each in chained_before(store, head.number + 1, head.sealed):
        if len(found) >= most:
            break
        if each.record.subject in subjects and each.record.id not in known:
            found.append(each.record)
    return found


def find_proposal(state: Snapshot, identity: str) -> Proposal:
    """Also one that has ended. Raises ProposalNotFound, with the nearest that there are."""
    item = state.get(keys.proposal(identity))
    proposal = read_proposal(item.value) if item is not None else None
    if proposal is None:
        known = [keys.parts(each.key)[0] for each in state.items(keys.PROPOSALS)]
        raise ProposalNotFound(f"there is no proposal {identity[:80]!r}{nearest(identity, known)}")
    return proposal


async def find_record(store: Store, identity: str) -> AuditRecord | None:
    """The record with that id, if the store holds it still. Raises StoreFault."""
    fresh = (await store.get(keys.audit_fresh(identity), stale_ok=True)).item
    if fresh is not None:
        return read_record(fresh.value)
    head = await audit_head(store)
    async for each in chained_before(store, head.number + 1, head.sealed):
        if each.record.id == identity:
            return each.record
    return None
