"""What moves and their outcomes make of a case. Nothing here reads a clock, waits or writes: it stages."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.state.values import encode
from runtime.workflow.case import Case
from runtime.workflow.decide import owed
from runtime.workflow.flow import Did, Do, Done, NotDone, RetryPolicy, StepError, Unknown, Waits
from runtime.workflow.limits import DETAIL_CHARS_MAX, STEPS_KEPT, STEPS_KEPT_AFTER, UNDO_ATTEMPTS
from runtime.workflow.records import RunState, StepDigest, StepRecord
from runtime.workflow.states import Event, advance

UNDO_RETRY: Final = RetryPolicy(attempts=UNDO_ATTEMPTS)
STOPPED: Final = StepError(code="stopped", detail="the run went backwards before its outcome was known")
HEX_KEPT: Final = 16


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that failed. known: it certainly took no effect."""

    error: StepError
    known: bool


def backoff_ms(policy: RetryPolicy, run: str, step: str, attempt: int) -> int:
    """How long to wait behind this attempt: the same whoever asks, so that a new leader waits as long."""
    full = min(policy.first_s * 2 ** min(attempt - 1, 30), policy.most_s)
    digest = hashlib.sha256(f"{run}/{step}/{attempt}".encode()).digest()
    return int(full * (1 - digest[0] / 512) * 1_000)


def move_run(case: Case, event: Event, **members: object) -> None:
    """Raises IllegalMove."""
    case.change_run(state=advance(case.run.state, event), **members)


def going(case: Case) -> None:
    """What it waited for has come."""
    if case.run.state is RunState.WAITING:
        move_run(case, Event.GO, waits_for="", wake_unix_ms=0)


def set_off(case: Case, now_unix_ms: int, fences: dict[str, int]) -> None:
    """The run has its locks, under these numbers, and begins."""
    move_run(case, Event.GO, began_unix_ms=now_unix_ms, fences=fences, reason="", epoch=case.run.epoch + 1)


def taken_over(case: Case) -> None:
    """By this leader: attempts that another began are of an earlier epoch from now on."""
    case.change_run(epoch=case.run.epoch + 1)


def begin(case: Case, do: Do, now_unix_ms: int) -> StepRecord:
    going(case)
    step = StepRecord(
        number=case.newest + 1,
        step=do.step,
        action=do.action,
        input=do.input,
        effect=do.effect,
        timeout_s=do.timeout_s,
        retry=do.retry,
        undo=do.undo,
        epoch=case.run.epoch,
        began_unix_ms=now_unix_ms,
    )
    case.set_step(step)
    compact(case)
    return step


def attempt(case: Case, step: StepRecord) -> StepRecord:
    """The INTENT of an attempt, where it is not recorded as this leader's already."""
    going(case)
    if step.state == "begun" and step.epoch == case.run.epoch:
        return step
    taken_over = step.state == "begun" and step.epoch != case.run.epoch
    return _set(case, step, state="begun", epoch=case.run.epoch, takeovers=step.takeovers + int(taken_over))


def did(case: Case, step: StepRecord, outcome: Did | Waits, now_unix_ms: int, *, sha256: str = "") -> None:
    """sha256: of a result that is content instead."""
    if isinstance(outcome, Waits):
        until = outcome.until_unix_ms or 0
        _set(case, step, state="waiting", signal=outcome.signal, note=outcome.note, wake_unix_ms=until)
        return
    if not sha256:
        _done(case, step, outcome.result, now_unix_ms)
        return
    case.long_results[step.number] = outcome.result
    _done(case, _set(case, step, result_sha256=sha256), {}, now_unix_ms)


def failed(case: Case, step: StepRecord, failure: Failure, now_unix_ms: int) -> None:
    """Another attempt, a question whether it took effect, or the end of the step."""
    if step.effect is Effect.ONCE and not failure.known:
        _set(case, step, unknown=True, error=failure.error)
        return
    _again_or_never(case, step, failure.error, now_unix_ms)


def probed(case: Case, step: StepRecord, found: Done | NotDone | Unknown, now_unix_ms: int) -> None:
    """Going forward. What nobody knows parks the run."""
    match found:
        case Done(result=result):
            _done(case, _resolved(case, step, "took effect"), result, now_unix_ms)
        case NotDone():
            step = _resolved(case, step, "took no effect")
            error = step.error
            if error is None:  # its leader ended: that is no failure of the step
                _set(case, step, epoch=case.run.epoch, takeovers=step.takeovers + 1)
            else:
                _again_or_never(case, step, error, now_unix_ms)
        case Unknown(detail=detail):
            _set(case, step, unknown=True)
            park(case, f"nobody can tell whether step {step.step} took effect: {detail}")


def abandoned(case: Case, step: StepRecord, now_unix_ms: int) -> None:
    """What it asked for has been taken back, as far as that went."""
    if step.effect is Effect.ONCE or step.undo:
        _set(case, step, state="begun", unknown=True, abandoned=True)
    else:
        fail_step(case, step, STOPPED, now_unix_ms)


def probed_backwards(case: Case, step: StepRecord, found: Done | NotDone | Unknown, now_unix_ms: int) -> None:
    match found:
        case Done(result=result):
            _done(case, _resolved(case, step, "took effect"), result, now_unix_ms)
        case NotDone():
            error = step.error or STOPPED
            _set(case, step, state="failed", unknown=False, error=error, undo_state="done", ended_unix_ms=now_unix_ms)
        case Unknown(detail=detail):
            error = StepError(code="effect_unknown", detail=f"nobody can tell whether it took effect: {detail}")
            _set(case, step, unknown=True, undo_state="failed", undo_error=error)


def begin_undo(case: Case, step: StepRecord) -> StepRecord:
    """The INTENT of an undo."""
    if step.undo_state == "begun":
        return step
    return _set(case, step, undo_state="begun", undo_attempt=1)


def undone(case: Case, step: StepRecord, now_unix_ms: int) -> None:
    _set(case, step, state="undone", undo_state="done", undo_error=None, undo_wake_unix_ms=0, ended_unix_ms=now_unix_ms)


def undo_failed(case: Case, step: StepRecord, error: StepError, now_unix_ms: int) -> None:
    """Tried again while attempts and the budget of the compensation last, then left to a person."""
    wake = now_unix_ms + backoff_ms(UNDO_RETRY, case.run.id, f"{step.step}/undo", step.undo_attempt)
    if step.undo_attempt >= UNDO_ATTEMPTS or wake > case.run.undo_until_unix_ms or not error.retryable:
        _set(case, step, undo_state="failed", undo_error=error)
    else:
        _set(case, step, undo_attempt=step.undo_attempt + 1, undo_wake_unix_ms=wake, undo_error=error)


def compensate(case: Case, error: StepError, ends_as: str, now_unix_ms: int) -> None:
    """Everything from here on goes backwards. Without anything to undo the run just ends."""
    left = owed(case)
    if not left and ends_as == "compensated":
        ends_as = "failed"
    move_run(
        case,
        Event.UNDO,
        ends_as=ends_as,
        error=error,
        reason="",
        waits_for="",
        wake_unix_ms=0,
        undo_until_unix_ms=now_unix_ms + case.run.undo_budget_s * 1_000,
    )
    if left:
        case.note("run_compensating", f"{len(left)} steps are undone: {error.detail}", {"code": error.code})


def park(case: Case, reason: str) -> None:
    told = reason[:DETAIL_CHARS_MAX]
    move_run(case, Event.PARK, reason=told, waits_for="", wake_unix_ms=0)
    case.note("run_parked", told)


_ENDS: Final[dict[RunState, Event]] = {
    RunState.SUCCEEDED: Event.SUCCEED,
    RunState.FAILED: Event.FAIL,
    RunState.COMPENSATED: Event.COMPENSATE,
    RunState.CANCELLED: Event.CANCEL,
}


def set_aside(case: Case, reason: str) -> None:
    """Parked whatever its state is: the engine does not know what to do with it."""
    case.change_run(state=RunState.NEEDS_HUMAN, reason=reason[:DETAIL_CHARS_MAX])
    case.note("run_parked", reason[:DETAIL_CHARS_MAX])


def wait(case: Case, until_unix_ms: int, signal: str) -> None:
    move_run(case, Event.WAIT, wake_unix_ms=until_unix_ms, waits_for=signal)


def end(case: Case, state: RunState, now_unix_ms: int, *, result: dict[str, Json], error: StepError | None) -> None:
    move_run(
        case,
        _ENDS[state],
        result=result,
        error=error,
        ended_unix_ms=now_unix_ms,
        waits_for="",
        wake_unix_ms=0,
    )
    run = case.run
    detail: dict[str, Json] = {"state": str(state), "steps": {each.step: each.state for each in case.steps.values()}}
    detail |= {"code": error.code} if error is not None else {}
    detail |= {"effects_left": list(run.undo_left)} if run.undo_left else {}
    case.note("run_ended", f"{state}{f': {error.detail}' if error is not None else ''}", detail)


def compact(case: Case) -> None:
    """Whole steps beyond what is kept become digests, the oldest first; what may have to be undone stays."""
    if len(case.steps) <= STEPS_KEPT:
        return
    keep = {each.number for each in owed(case)}
    old = [each for number, each in sorted(case.steps.items()) if number not in keep and each.ended_unix_ms]
    for step in old[: len(case.steps) - STEPS_KEPT_AFTER]:
        case.change_run(digests=(*case.run.digests, digest_of(step)))
        case.drop_step(step.number)


def digest_of(step: StepRecord) -> StepDigest:
    return StepDigest(
        number=step.number,
        step=step.step,
        action=step.action,
        state=step.state,
        attempt=step.attempt,
        began_unix_ms=step.began_unix_ms,
        ended_unix_ms=step.ended_unix_ms,
        sha256=hashlib.sha256(encode(step)).hexdigest()[:HEX_KEPT],
    )


def _set(case: Case, step: StepRecord, **members: object) -> StepRecord:
    changed = msgspec.structs.replace(step, **members)
    case.set_step(changed)
    return changed


def _done(case: Case, step: StepRecord, result: dict[str, Json], now_unix_ms: int) -> None:
    _set(case, step, state="done", result=result, error=None, unknown=False, ended_unix_ms=now_unix_ms, wake_unix_ms=0)


def _resolved(case: Case, step: StepRecord, what: str) -> StepRecord:
    if step.effect is Effect.ONCE:
        case.note("run_step_resolved", f"step {step.step} {what}: its probe says so", {"step": step.step})
    return _set(case, step, unknown=False, resolved_by="probe")


def _again_or_never(case: Case, step: StepRecord, error: StepError, now_unix_ms: int) -> None:
    if error.retryable and step.attempt < step.retry.attempts:
        wake = now_unix_ms + backoff_ms(step.retry, case.run.id, step.step, step.attempt)
        epoch = case.run.epoch
        _set(
            case,
            step,
            state="begun",
            epoch=epoch,
            takeovers=0,
            attempt=step.attempt + 1,
            wake_unix_ms=wake,
            error=error,
        )
        return
    _set(case, step, state="failed", error=error, unknown=False, ended_unix_ms=now_unix_ms)


def fail_step(case: Case, step: StepRecord, error: StepError, now_unix_ms: int) -> None:
    """For good: nothing was tried that could be tried again."""
    _set(case, step, state="failed", error=error, unknown=False, ended_unix_ms=now_unix_ms)
