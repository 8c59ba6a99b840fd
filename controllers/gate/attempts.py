"""Attempts that were refused, in the audit: in a place of their own, so that many of them keep nothing else out."""

from __future__ import annotations

from controllers.gate.audit import AuditRecord, Trace, fitted
from controllers.gate.desk import GateDesk, Judged
from controllers.gate.errors import GateFault
from controllers.gate.proposals import read_proposal
from controllers.gate.writing import short
from runtime.consensus.errors import QuotaExceeded
from runtime.consensus.store import Put, led_by
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Submission
from runtime.operations.plan import Call
from runtime.state import keys
from runtime.state.values import encode


async def note_refused(
    desk: GateDesk, submission: Submission, code: str, why: str, judged: Judged | None = None
) -> None:
    """Nothing is kept of a dry run."""
    if submission.dry_run:
        return
    record = AuditRecord(
        id=desk.new_id(),
        kind="refused",
        at_unix_ms=desk.clock.unix_ms(),
        actor=submission.actor,
        operation=submission.operation[:80],
        subject=judged.plan.subject if judged is not None else "",
        request=short(desk.told(Call(operation=submission.operation, request=submission.request)).request),
        summary=judged.plan.summary if judged is not None else f"not planned: {why}",
        reason=submission.reason,
        rule=why,
        gate_class=int(judged.verdict.gate_class) if judged is not None else 0,
        effect=judged.effect() if judged is not None else "",
        revision_before=int(desk.state.revision),
        trace_id=submission.trace_id,
        request_id=submission.request_id,
        detail={"code": code},
    )
    await _written(desk, record, code)


async def note_vote_refused(
    desk: GateDesk, identity: str, actor: Actor, fault: GateFault, *, kind: str, reason: str, trace: Trace
) -> None:
    """A vote, withdrawal or review that was not taken."""
    item = desk.state.get(keys.proposal(identity)) if identity else None
    proposal = read_proposal(item.value) if item is not None else None
    record = AuditRecord(
        id=desk.new_id(),
        kind="vote_refused",
        at_unix_ms=desk.clock.unix_ms(),
        actor=actor,
        operation=proposal.call.operation if proposal is not None else "",
        subject=proposal.subject if proposal is not None else "",
        summary=f"not {kind}: {proposal.summary if proposal is not None else fault}",
        reason=reason,
        rule=str(fault),
        proposal=identity[:80],
        revision_before=int(desk.state.revision),
        trace_id=trace.trace_id,
        request_id=trace.request_id,
        detail={"code": fault.code, "tried": kind},
    )
    await _written(desk, record, fault.code)


async def _written(desk: GateDesk, record: AuditRecord, code: str) -> None:
    """When refusals fill their place faster than they are chained, they are counted in the node's log alone."""
    key = keys.audit_refused(record.id)
    try:
        await desk.store.txn([led_by(desk.fence())], [Put(key=key, value=encode(fitted(record)))])
    except QuotaExceeded:
        desk.log.warning("refusal_not_audited", operation=record.operation, actor=record.actor.id[:80], code=code)
