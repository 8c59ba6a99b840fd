"""Attempts that were refused, in the audit: in a place of their own, so that many of them keep nothing else out."""

from __future__ import annotations

from controllers.gate.audit import AuditRecord
from controllers.gate.desk import GateDesk, Judged
from controllers.gate.writing import short
from runtime.consensus.errors import QuotaExceeded
from runtime.consensus.store import Put, led_by
from runtime.operations.dispatch import Submission
from runtime.state import keys
from runtime.state.values import encode


async def note_refused(
    desk: GateDesk, submission: Submission, code: str, why: str, judged: Judged | None = None
) -> None:
    """When refusals fill their place faster than they are chained, they are counted in the node's log alone."""
    record = AuditRecord(
        id=desk.new_id(),
        kind="refused",
        at_unix_ms=desk.clock.unix_ms(),
        actor=submission.actor,
        operation=submission.operation[:80],
        subject=judged.plan.subject if judged is not None else "",
        request=short(submission.request),
        summary=judged.plan.summary if judged is not None else "",
        reason=submission.reason,
        rule=why[:1_000],
        gate_class=int(judged.verdict.gate_class) if judged is not None else 0,
        trace_id=submission.trace_id,
        detail={"code": code},
    )
    try:
        await desk.store.txn([led_by(desk.fence())], [Put(key=keys.audit_refused(record.id), value=encode(record))])
    except QuotaExceeded:
        desk.log.warning(
            "refusal_not_audited", operation=submission.operation[:80], actor=submission.actor.id, code=code
        )
