"""Records of other layers join the audit: in a place of their own, so that many of them keep no change out."""

from __future__ import annotations

from controllers.gate.audit import AuditRecord, fitted
from controllers.gate.errors import GateFault
from controllers.gate.reviews import opened
from runtime.consensus.errors import QuotaExceeded
from runtime.consensus.store import Put, Store, absent
from runtime.state import keys
from runtime.state.values import encode


class AuditFull(GateFault):
    """Too many records wait for their place in the chain."""

    code, retryable = "audit_full", True
    remedy = "Try again in a few seconds."


class StoreAuditLog:
    """Implements AuditLog on any node: a leader gives the record its place within a second or so."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, record: AuditRecord) -> None:
        """Raises AuditFull, StoreFault."""
        try:
            await self._store.txn((), [Put(key=keys.audit_joined(record.id), value=encode(fitted(record)))])
        except QuotaExceeded as error:
            raise AuditFull(str(error)) from error

    async def write_broken_glass(self, record: AuditRecord) -> None:
        """What was done past the gate, with the review that another person has to close. Once, however often it is
        told while that is open. Raises AuditFull, StoreFault."""
        kept = fitted(record)
        writes = [Put(key=keys.audit_joined(record.id), value=encode(kept)), opened(kept, "break_glass")]
        try:
            await self._store.txn([absent(keys.review(record.id))], writes)
        except QuotaExceeded as error:
            raise AuditFull(str(error)) from error
