"""What orders make of a case. One that does not fit any more is let go: whoever gave it sees the run's state."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.operations.operation import Effect
from runtime.workflow import outcomes
from runtime.workflow.case import OPEN, Case
from runtime.workflow.decide import NOT_BEGUN, owed
from runtime.workflow.flow import StepError
from runtime.workflow.records import HELD, RunOrder, RunState, StepRecord
from runtime.workflow.states import Event

KERNEL: Final = "kernel"
"""By whom orders are that follow from others."""


def obey(case: Case, now_unix_ms: int) -> None:
    """Stages what the order says, and its end."""
    order = case.order
    assert order is not None
    case.obeyed()
    match order.order:
        case "pause":
            _pause(case, order, now_unix_ms)
        case "resume":
            _resume(case, order, now_unix_ms)
        case "cancel":
            _cancel(case, order, now_unix_ms)
        case "retry-step":
            _retry(case, order, now_unix_ms)


def stops_effect(case: Case) -> bool:
    """Whether an order lies there that does not wait for the step under way. What is undone is not stopped."""
    return case.order is not None and case.order.order == "cancel" and not case.undoing


def follows(case: Case, order: RunOrder) -> RunOrder | None:
    """What the runs that this one began are told, where it has obeyed that order: a family is held, and goes on, as
    one. Who was paused by itself stays so."""
    told = f"run {case.run.id}, which began it, is paused"
    if order.order == "pause" and case.run.state is RunState.PAUSED:
        return RunOrder(order="pause", by=KERNEL, reason=told)
    if order.order in ("resume", "retry-step") and case.run.state not in HELD:
        return RunOrder(order="resume", by=KERNEL, reason=told)
    return None


def _pause(case: Case, order: RunOrder, now_unix_ms: int) -> None:
    if case.run.state in (RunState.RUNNING, RunState.WAITING):
        told = order.reason or f"paused by {order.by}"
        outcomes.move_run(case, Event.PAUSE, reason=told, paused_unix_ms=now_unix_ms, wake_unix_ms=0)


def _resume(case: Case, order: RunOrder, now_unix_ms: int) -> None:
    """A run that was parked asks again what it was parked for; an undo that failed is tried again. The one that began
    it lets go on only what it held itself."""
    is_held_by_it = case.run.state is RunState.PAUSED and case.run.reason == order.reason
    if case.run.state not in HELD or (order.by == KERNEL and not is_held_by_it):
        return
    for step in list(case.steps.values()):
        if step.undo_state == "failed":
            case.set_step(_replaced(step, undo_state="", undo_attempt=0, undo_wake_unix_ms=0))
        elif step.takeovers and step.state == "begun":
            case.set_step(_replaced(step, takeovers=0))
    _go_on(case, now_unix_ms)


def _go_on(case: Case, now_unix_ms: int) -> None:
    if case.run.state not in HELD:
        return
    if case.run.paused_unix_ms:
        _count_pause(case, max(0, now_unix_ms - case.run.paused_unix_ms))
    event = Event.UNDO if case.undoing else Event.GO
    outcomes.move_run(case, event, reason="", waits_for="", wake_unix_ms=0)


def _count_pause(case: Case, paused_ms: int) -> None:
    """What waited has that much longer, and so has the run."""
    case.change_run(paused_unix_ms=0, paused_ms=case.run.paused_ms + paused_ms)
    for step in list(case.steps.values()):
        if step.state == "waiting" and step.wake_unix_ms:
            case.set_step(_replaced(step, wake_unix_ms=step.wake_unix_ms + paused_ms))


def _cancel(case: Case, order: RunOrder, now_unix_ms: int) -> None:
    told = order.reason or f"cancelled by {order.by}"
    error = StepError(code="cancelled", detail=told)
    if case.run.state in NOT_BEGUN:
        outcomes.end(case, RunState.CANCELLED, now_unix_ms, result={}, error=error)
    elif not case.undoing:
        if order.undo:
            outcomes.compensate(case, error, "cancelled", now_unix_ms)
        else:
            _give_up(case, error, now_unix_ms)
    elif case.run.state is RunState.NEEDS_HUMAN:
        _give_up(case, error, now_unix_ms)


def _give_up(case: Case, error: StepError, now_unix_ms: int) -> None:
    """The effects that stand, or may, are left, and the audit says which."""
    for step in list(case.steps.values()):
        if step.state in OPEN:
            unknown = step.effect is not Effect.READ
            case.set_step(_replaced(step, state="failed", unknown=unknown, error=error, ended_unix_ms=now_unix_ms))
    case.change_run(undo_left=tuple(each.step for each in owed(case)))
    outcomes.end(case, RunState.CANCELLED, now_unix_ms, result={}, error=error)


def _retry(case: Case, order: RunOrder, now_unix_ms: int) -> None:
    step = case.named(order.step)
    if step is None or case.run.state not in HELD or not may_retry(case, step):
        return
    said = {"again": "it is tried again", "done": "it took effect", "skipped": "it is passed over"}[order.outcome]
    case.note("run_step_resolved", f"step {step.step}: {said}, says {order.by}", {"step": step.step}, by=order.by)
    if case.undoing:
        _retry_backwards(case, order, step, now_unix_ms)
    else:
        _retry_forwards(case, order, step, now_unix_ms)
    _go_on(case, now_unix_ms)


def may_retry(case: Case, step: StepRecord) -> bool:
    """Steps whose effect stands for sure are done; there is nothing to try again."""
    return step.undo_state == "failed" if case.undoing else step.state in ("begun", "waiting", "failed")


def _retry_forwards(case: Case, order: RunOrder, step: StepRecord, now_unix_ms: int) -> None:
    fresh = _replaced(step, unknown=False, wake_unix_ms=0, resolved_by=order.by, takeovers=0)
    if order.outcome == "again":
        epoch = case.run.epoch
        case.set_step(_replaced(fresh, state="begun", epoch=epoch, attempt=1, error=None, signal="", ended_unix_ms=0))
    else:
        case.set_step(_replaced(fresh, state=order.outcome, error=None, ended_unix_ms=now_unix_ms))


def _retry_backwards(case: Case, order: RunOrder, step: StepRecord, now_unix_ms: int) -> None:
    """Of a step that nobody knew about, what came of it; of one that could not be undone, done: it has been undone by
    hand, skipped: its effect is left."""
    if order.outcome == "again":
        case.set_step(_replaced(step, undo_state="", undo_attempt=0, undo_wake_unix_ms=0, undo_error=None))
    elif step.state != "done":
        told = _replaced(step, state=order.outcome, unknown=False, resolved_by=order.by, ended_unix_ms=now_unix_ms)
        case.set_step(_replaced(told, undo_state="", undo_error=None))
    elif order.outcome == "done":
        outcomes.undone(case, _replaced(step, resolved_by=order.by), now_unix_ms)
    else:
        case.set_step(_replaced(step, undo_state="done", resolved_by=order.by))
        case.change_run(undo_left=(*case.run.undo_left, step.step))


def _replaced(step: StepRecord, **members: object) -> StepRecord:
    return msgspec.structs.replace(step, **members)
