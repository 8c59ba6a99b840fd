"""Mistakes to plant, one for each protection of runs: the stories must find every one of them, or they prove little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from controllers.gate import answers
from evals.planting import Plant
from evals.workflow import three_steps
from runtime.consensus.store import TxnResult
from runtime.workflow import decide, effects, lock_desk, outcomes
from runtime.workflow.case import Case
from runtime.workflow.decide import Attempt, Move
from runtime.workflow.driver import Driver
from runtime.workflow.flow import Done, NotDone, StepContext
from runtime.workflow.pen import Pen
from runtime.workflow.records import StepRecord


async def _compares_nothing(self: Pen, case: Case, _held: object, also: Any, reread: Any) -> TxnResult:
    return await _WRITE(self, case, (), also, reread)


async def _effect_before_intent(self: Driver, step: StepRecord) -> None:
    """The intent is written behind the effect, with its outcome."""
    flush = self._flush

    async def later() -> None:
        return None

    self._flush = later  # type: ignore[method-assign]
    try:
        await _ATTEMPT(self, step)
    finally:
        self._flush = flush  # type: ignore[method-assign]


def _run_again(case: Case, step: StepRecord, now_unix_ms: int) -> Move:
    """Whatever its effect is."""
    found = _ON_WITH(case, step, now_unix_ms)
    return Attempt(step) if isinstance(found, decide.Probe) else found


async def _believed_done(_action: object, _context: StepContext) -> Done:
    return Done()


async def _believed_not_done(_action: object, _context: StepContext) -> NotDone:
    return NotDone()


async def _nothing_found(_self: object, _submission: object) -> None:
    return None


def _no_locks_freed(_table: object, _run: str) -> dict[str, None]:
    return {}


def _not_undone_when_unknown(case: Case) -> list[StepRecord]:
    """Only what certainly took effect is undone."""
    return [each for each in _OWED(case) if each.state == "done"]


def _silent_end(self: Case, *_: object, **__: object) -> None:
    self.notes.clear()


async def _key_of_the_attempt(self: three_steps.Submits, context: StepContext) -> object:
    """A key that is another with each leader."""
    return await _SUBMITS(self, replace(context, key=f"{context.key}/{context.epoch}"))


def _no_takeover(case: Case) -> None:
    """An attempt that an earlier leader began counts as this one's."""


_ATTEMPT: Final = Driver._attempt
_ON_WITH: Final = decide._on_with
_OWED: Final = decide.owed
_WRITE: Final = Pen._write
_SUBMITS: Final = three_steps.Submits.run

PLANTS: Final = {
    "no-comparison": Plant("every write compares the leadership and the run", Pen, "_write", _compares_nothing),
    "effect-before-intent": Plant("intent before effect", Driver, "_attempt", _effect_before_intent),
    "run-again": Plant("what may not be repeated is probed", decide, "_on_with", _run_again),
    "believed-done": Plant("a probe is asked", effects, "probed", _believed_done),
    "believed-not-done": Plant("a probe is asked (the other way)", effects, "probed", _believed_not_done),
    "key-of-the-attempt": Plant("one idempotency key over leaders", three_steps.Submits, "run", _key_of_the_attempt),
    "answers-forgotten": Plant("an answered key is answered again", answers.AnswerBook, "find", _nothing_found),
    "locks-kept": Plant("a run's end frees its locks", lock_desk, "free", _no_locks_freed),
    "unknown-not-undone": Plant("what may have happened is undone too", decide, "owed", _not_undone_when_unknown),
    "no-audit": Plant("ends and parks are told with what makes them so", Case, "note", _silent_end),
    "no-takeover": Plant("attempts belong to leaders", outcomes, "taken_over", _no_takeover),
}
