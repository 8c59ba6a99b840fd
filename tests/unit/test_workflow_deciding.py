"""The pure part of the engine: what comes next, and what the history of a run may be, whatever is drawn."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consensus.store import Revision
from runtime.names import Sha256
from runtime.operations.operation import Effect
from runtime.workflow import outcomes
from runtime.workflow.case import Case
from runtime.workflow.decide import (
    Abandon,
    Attempt,
    Begin,
    Compensate,
    End,
    Outcome,
    Park,
    Probe,
    Rest,
    TakeLocks,
    Undo,
    decide,
)
from runtime.workflow.flow import Did, Done, NotDone, RetryPolicy, StepError, Unknown, Waits
from runtime.workflow.obeying import obey
from runtime.workflow.records import RunOrder, RunRecord, RunState, SignalRecord
from tests.unit.workflow_parts import ANNA, ListFlow, do

NOW = 1_000_000
MOVES_MAX = 300


def a_case(**members: Any) -> Case:
    run = RunRecord(id="r1", kind="list", definition=Sha256("d"), actor=ANNA, created_unix_ms=0)
    return Case(run=msgspec.structs.replace(run, **members), revision=Revision(1))


@given(st.text(max_size=10), st.text(max_size=10), st.integers(1, 40), st.floats(0.01, 100), st.floats(0.01, 1000))
def test_waits_between_attempts_grow_within_their_bounds_and_are_equal_for_every_leader(
    run: str, step: str, attempt: int, first_s: float, most_s: float
) -> None:
    policy = RetryPolicy(attempts=50, first_s=first_s, most_s=most_s)
    full = min(first_s * 2 ** (attempt - 1), most_s) * 1_000
    found = outcomes.backoff_ms(policy, run, step, attempt)
    assert full / 2 - 1 <= found <= full
    assert found == outcomes.backoff_ms(policy, run, step, attempt)


STEP = st.builds(
    lambda name, effect, undo, attempts: do(
        f"s{name}", effect, undo=undo, retry=RetryPolicy(attempts=attempts, first_s=1, most_s=8)
    ),
    st.integers(0, 4),
    st.sampled_from(Effect),
    st.booleans(),
    st.integers(1, 3),
)
ERROR = st.builds(lambda again: StepError(code="no", detail="no", retryable=again), st.booleans())
CHANCE = st.sampled_from(("did", "did", "did", "waits", "fails", "unknown", "dies", "dies", "cancel", "pause"))


class History:
    """Plays the shell: carries moves out as chance wants it, and counts what took effect."""

    def __init__(self, data: st.DataObject, steps: list[Any]) -> None:
        self.data, self.flow, self.case, self.now = data, ListFlow(steps), a_case(), NOW
        self.effects: dict[str, int] = {}
        """By step, how often it took effect, less how often it was undone."""
        self.most: dict[str, int] = {}

    def play(self) -> None:
        for _ in range(MOVES_MAX):
            if self.case.run.ended:
                return
            self.step()
        raise AssertionError(f"no end after {MOVES_MAX} moves: {self.case.run}")

    def step(self) -> None:
        move, case, now = decide(self.case, self.flow, self.now), self.case, self.now
        match move:
            case TakeLocks():
                outcomes.set_off(case, now, {})
            case Begin(do=wanted):
                self.attempt(outcomes.begin(case, wanted, now))
            case Attempt(step=step):
                self.attempt(outcomes.attempt(case, step))
            case Probe(step=step):
                stage = outcomes.probed_backwards if case.undoing else outcomes.probed
                stage(case, step, self.seen(step.step), now)
            case Outcome(step=step, error=error):
                outcomes.fail_step(case, step, error, now)
            case Rest():
                self.rest(move)
            case Park(reason=reason):
                outcomes.park(case, reason)
            case Compensate(error=error, ends_as=ends_as):
                outcomes.compensate(case, error, ends_as, now)
            case Undo(step=step):
                self.undo(outcomes.begin_undo(case, step))
            case Abandon(step=step):
                outcomes.abandoned(case, step, now)
            case End(state=state, result=result, error=error):
                outcomes.end(case, state, now, result=result, error=error)
            case _:
                obey(case, now)

    def attempt(self, step: Any) -> None:
        chance = self.data.draw(CHANCE)
        if chance in ("did", "unknown", "dies", "cancel") and self.data.draw(
            st.booleans() if chance != "did" else st.just(True)
        ):
            self.effects[step.step] = self.effects.get(step.step, 0) + 1
            self.most[step.step] = max(self.most.get(step.step, 0), self.effects[step.step])
        if chance == "dies":
            outcomes.taken_over(self.case)
        elif chance == "did":
            outcomes.did(self.case, step, Did(), self.now)
        elif chance == "waits":
            outcomes.did(self.case, step, Waits("x", self.now + 5_000), self.now)
        elif chance in ("fails", "unknown"):
            failure = outcomes.Failure(error=self.data.draw(ERROR), known=chance == "fails")
            outcomes.failed(self.case, step, failure, self.now)
        else:
            self.case.order = RunOrder(order=chance, by="anna")

    def seen(self, step: str) -> Done | NotDone | Unknown:
        if self.data.draw(st.integers(0, 3)) == 0:
            return Unknown("who knows")
        return Done() if self.effects.get(step, 0) else NotDone()

    def undo(self, step: Any) -> None:
        if self.data.draw(st.integers(0, 3)) == 0:
            outcomes.undo_failed(self.case, step, self.data.draw(ERROR), self.now)
            return
        self.effects[step.step] = 0
        outcomes.undone(self.case, step, self.now)

    def rest(self, move: Rest) -> None:
        """A signal, the time, or a person who goes and looks."""
        case = self.case
        if case.run.state is RunState.PAUSED:
            case.order = RunOrder(order="resume", by="anna")
        elif case.run.state is RunState.NEEDS_HUMAN:
            doubtful = next((each for each in case.steps.values() if each.unknown or each.undo_state == "failed"), None)
            if doubtful is None:
                case.order = RunOrder(order="resume", by="anna")
                return
            took = bool(self.effects.get(doubtful.step, 0))
            outcome: Any = "done" if took else "skipped"
            if doubtful.state == "done":
                outcome = "again"
            case.order = RunOrder(order="retry-step", by="anna", step=doubtful.step, outcome=outcome)
        elif move.signal and self.data.draw(st.booleans()):
            case.set_signal(SignalRecord(name=move.signal, at_unix_ms=self.now, by="anna"))
        else:
            self.now = max(self.now + 1, move.until_unix_ms)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(STEP, min_size=1, max_size=4, unique_by=lambda each: each.step))
def test_every_history_ends_and_the_records_say_what_stands(data: st.DataObject, steps: list[Any]) -> None:
    """A step that may not be repeated took effect at most once; what can be undone stands only where it is told so."""
    history = History(data, steps)
    history.play()
    by_name = {each.step: each for each in history.case.steps.values()}
    for wanted in steps:
        step = by_name.get(wanted.step)
        if wanted.effect is Effect.ONCE:
            assert history.most.get(wanted.step, 0) <= 1, wanted.step
        stands = bool(history.effects.get(wanted.step, 0))
        if wanted.undo and wanted.effect is not Effect.READ and history.case.run.state is not RunState.SUCCEEDED:
            left = wanted.step in history.case.run.undo_left
            failed_forward = history.case.run.state is RunState.FAILED
            assert not stands or left or failed_forward, (wanted.step, history.case.run.state)
        if wanted.effect is Effect.ONCE and step is not None:
            assert stands == (step.state == "done"), (wanted.step, step.state)
    assert [each.kind for each in history.case.notes if each.kind == "run_ended"] == ["run_ended"]
