"""What comes next in a run: a pure function of what is recorded, of its flow and of the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from runtime.operations.operation import Effect
from runtime.workflow.case import OPEN, Case
from runtime.workflow.flow import Ask, Do, Fail, Finish, Flow, Sleep, StepError, Wait
from runtime.workflow.limits import NAME_CHARS_MAX, STEPS_MAX, TAKEOVERS_MAX
from runtime.workflow.records import RunState, StepRecord


class Obey(msgspec.Struct, frozen=True):
    """Carry out the order that lies there."""


class TakeLocks(msgspec.Struct, frozen=True):
    pass


class Begin(msgspec.Struct, frozen=True):
    do: Do


class Attempt(msgspec.Struct, frozen=True):
    step: StepRecord


class Probe(msgspec.Struct, frozen=True):
    step: StepRecord


class Outcome(msgspec.Struct, frozen=True):
    """The step has failed without its action being asked."""

    step: StepRecord
    error: StepError


class Rest(msgspec.Struct, frozen=True):
    """Until something is told, or the time has come. waits: the run is told as waiting, for this signal if any."""

    until_unix_ms: int = 0
    signal: str = ""
    waits: bool = False


class Park(msgspec.Struct, frozen=True):
    reason: str


class Compensate(msgspec.Struct, frozen=True):
    """From now on backwards. ends_as: what the run will be then."""

    error: StepError
    ends_as: str


class Undo(msgspec.Struct, frozen=True):
    step: StepRecord


class Abandon(msgspec.Struct, frozen=True):
    """The step will not go on: what it asked for is taken back."""

    step: StepRecord


class Recall(msgspec.Struct, frozen=True):
    """Runs that this one started, and that must end before it goes backwards."""

    children: tuple[str, ...]


class End(msgspec.Struct, frozen=True):
    state: RunState
    result: dict[str, object] = {}
    error: StepError | None = None


Move = Obey | TakeLocks | Begin | Attempt | Probe | Outcome | Rest | Park | Compensate | Undo | Abandon | Recall | End

TIMED_OUT: Final = StepError(code="run_timeout", detail="the run took longer than its limit")
STILL: Final = frozenset({RunState.PAUSED, RunState.NEEDS_HUMAN})
NOT_BEGUN: Final = frozenset({RunState.QUEUED, RunState.BLOCKED})


def decide(case: Case, flow: Flow, now_unix_ms: int) -> Move:
    """No clock, no chance, no I/O. A run that has ended is not asked about."""
    run = case.run
    if case.order is not None and not _comes_too_early(case):
        return Obey()
    if run.state in NOT_BEGUN:
        return TakeLocks()
    if run.state in STILL:
        return Rest()
    if case.undoing:
        return _backwards(case, now_unix_ms)
    if deadline_of(case) and now_unix_ms >= deadline_of(case):
        return Compensate(TIMED_OUT, "compensated")
    step = case.open_step()
    if step is not None:
        return _on_with(case, step, now_unix_ms)
    return _asked(case, flow, now_unix_ms)


def deadline_of(case: Case) -> int:
    """In Unix ms; 0 is none."""
    run = case.run
    return run.began_unix_ms + run.paused_ms + run.limit_s * 1_000 if run.limit_s and run.began_unix_ms else 0


def _comes_too_early(case: Case) -> bool:
    """What has not begun cannot be held: it is as soon as it has its locks."""
    return case.run.state in NOT_BEGUN and case.order is not None and case.order.order == "pause"


def owed(case: Case) -> list[StepRecord]:
    """Steps whose effect stands, or may, newest first, and that can be undone."""
    return [
        each
        for each in sorted(case.steps.values(), key=lambda each: -each.number)
        if each.undo
        and each.effect is not Effect.READ
        and each.state not in ("undone", "skipped")
        and each.undo_state != "done"
    ]


def interrupted(case: Case, step: StepRecord) -> bool:
    """Its attempt was begun by a leader that is gone, which told no outcome."""
    return step.state == "begun" and step.epoch != case.run.epoch


def _on_with(case: Case, step: StepRecord, now_unix_ms: int) -> Move:
    if step.state == "waiting":
        return _waiting(case, step, now_unix_ms)
    if step.wake_unix_ms > now_unix_ms:
        return Rest(step.wake_unix_ms)
    if step.unknown or (interrupted(case, step) and step.effect is Effect.ONCE):
        return Probe(step)
    if interrupted(case, step) and step.takeovers >= TAKEOVERS_MAX:
        return Park(f"step {step.step} saw {step.takeovers} leaders end; it may be what ended them")
    return Attempt(step)


def _waiting(case: Case, step: StepRecord, now_unix_ms: int) -> Move:
    if step.signal in case.signals:
        return Attempt(step)
    if step.wake_unix_ms and now_unix_ms >= step.wake_unix_ms:
        return Outcome(step, StepError(code="wait_timeout", detail=f"{step.signal} did not come in time"))
    return Rest(step.wake_unix_ms, step.signal, waits=True)


def _asked(case: Case, flow: Flow, now_unix_ms: int) -> Move:
    directive = flow.next(case.view(now_unix_ms))
    match directive:
        case Do():
            return _begun(case, directive)
        case Wait(signal=signal, until_unix_ms=until):
            return Rest(until or 0, signal, waits=True)
        case Sleep(until_unix_ms=until):
            return Rest(until, waits=True)
        case Finish(result=result):
            return End(RunState.SUCCEEDED, result)
        case Fail(code=code, detail=detail, undo=undo):
            error = StepError(code=code, detail=detail)
            return Compensate(error, "compensated") if undo else End(RunState.FAILED, error=error)
        case Ask(detail=detail):
            return Park(detail)


def _begun(case: Case, do: Do) -> Move:
    """A flow that asks for what cannot be is stopped, and what it did before is undone."""
    if case.newest >= STEPS_MAX:
        error = StepError(code="too_many_steps", detail=f"a run has {STEPS_MAX} steps at most; start another for more")
        return Compensate(error, "compensated")
    problem = _wrong(case, do)
    return Park(f"the flow cannot go on: {problem}") if problem else Begin(do)


def _wrong(case: Case, do: Do) -> str:
    if not 0 < len(do.step) <= NAME_CHARS_MAX or not 0 < len(do.action) <= NAME_CHARS_MAX:
        return f"names of steps and actions have 1 to {NAME_CHARS_MAX} characters: {do.step[:80]!r}, {do.action[:80]!r}"
    if case.named(do.step) is not None or any(each.step == do.step for each in case.run.digests):
        return f"step {do.step} has ended, and a step is never begun again by itself"
    return ""


def _backwards(case: Case, now_unix_ms: int) -> Move:
    told = case.children - case.recalled
    if case.children:
        return Recall(tuple(sorted(told))) if told else Rest()
    for step in case.steps.values():
        if step.state in OPEN and not step.abandoned:
            return Abandon(step)
    for step in unsettled(case):
        return _left(step) if step.undo_state == "failed" else Probe(step)
    for step in owed(case):
        if step.undo_state == "failed":
            return _left(step)
        if step.state != "done":
            return Probe(step)
        if step.undo_wake_unix_ms > now_unix_ms:
            return Rest(step.undo_wake_unix_ms)
        return Undo(step)
    return End(RunState(case.run.ends_as), error=case.run.error)


def _left(step: StepRecord) -> Park:
    told = step.undo_error.detail if step.undo_error is not None else "it could not be undone"
    return Park(f"step {step.step}: {told}")


def unsettled(case: Case) -> Iterator[StepRecord]:
    """Steps that cannot be undone and of which nobody has said yet whether they took effect."""
    for step in case.steps.values():
        if step.state == "begun" and step.effect is Effect.ONCE and not step.undo:
            yield step
