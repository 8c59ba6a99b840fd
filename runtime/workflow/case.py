"""One run as the engine has it in hand: its records, and what of them is not written yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from runtime.consensus.store import Delete, Operation, Put, Revision
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import encode
from runtime.workflow.flow import RunView, SignalView, StepContext
from runtime.workflow.records import (
    HELD,
    RunOrder,
    RunRecord,
    SignalRecord,
    StepRecord,
    is_unsettled,
    view_of_digest,
    view_of_signal,
    view_of_step,
)

OPEN: Final = ("begun", "waiting")
NOTHING_YET: Final = Revision(0)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a run that belongs into the audit, in the transaction that makes it so."""

    kind: str
    """run_parked, run_compensating, run_step_resolved, run_ended."""
    run: RunRecord
    summary: str
    by: str = ""
    """The person whose word it was; empty for the engine itself."""
    detail: dict[str, Json] = {}


@dataclass(slots=True)
class Case:
    """What is staged here is written together by the next flush, or not at all."""

    run: RunRecord
    revision: Revision
    steps: dict[int, StepRecord] = field(default_factory=dict)
    signals: dict[str, SignalRecord] = field(default_factory=dict)
    order: RunOrder | None = None
    order_revision: Revision = NOTHING_YET
    long_results: dict[int, dict[str, Json]] = field(default_factory=dict)
    """By step, those that are content."""
    children: set[str] = field(default_factory=set)
    """Runs that it started and that have not ended."""
    recalled: set[str] = field(default_factory=set)
    """Those that were told to end, by this leader."""
    notes: list[Note] = field(default_factory=list)
    _changed: set[int] = field(default_factory=set)
    _gone: set[int] = field(default_factory=set)
    _signalled: set[str] = field(default_factory=set)
    _more: list[Operation] = field(default_factory=list)
    _run_changed: bool = False
    _order_done: bool = False

    @property
    def undoing(self) -> bool:
        return bool(self.run.ends_as)

    @property
    def is_staged(self) -> bool:
        return bool(self._run_changed or self._changed or self._order_done or self._signalled or self._more)

    @property
    def is_run_staged(self) -> bool:
        return self._run_changed

    @property
    def is_order_done(self) -> bool:
        return self._order_done

    def named(self, step: str) -> StepRecord | None:
        return next((each for each in self.steps.values() if each.step == step), None)

    def open_step(self) -> StepRecord | None:
        """The one that has begun and not ended; there is one at most."""
        return next((each for each in self.steps.values() if each.state in OPEN), None)

    @property
    def newest(self) -> int:
        """Number of the step that began last; 0 before the first."""
        return max(max(self.steps, default=0), max((each.number for each in self.run.digests), default=0))

    def change_run(self, **members: object) -> None:
        run = msgspec.structs.replace(self.run, **members)
        if run != self.run:
            self.run = run
            self._run_changed = True

    def set_step(self, step: StepRecord) -> None:
        self.steps[step.number] = step
        self._changed.add(step.number)

    def drop_step(self, number: int) -> None:
        """Its digest is in the run's record."""
        del self.steps[number]
        self.long_results.pop(number, None)
        self._changed.discard(number)
        self._gone.add(number)

    def set_signal(self, signal: SignalRecord) -> None:
        self.signals[signal.name] = signal
        self._signalled.add(signal.name)

    def obeyed(self) -> None:
        """The order goes with what is staged."""
        self.order = None
        self._order_done = True

    def ordered(self, order: RunOrder | None, revision: Revision) -> None:
        """Where it takes the place of one that has been obeyed and not been taken away, that is gone already."""
        self.order, self.order_revision = order, revision
        self._order_done = False

    def back_to(self, run: RunRecord) -> None:
        """As if nothing of the run itself had been staged."""
        self.run = run
        self._run_changed = False
        self.notes.clear()

    def also(self, *operations: Operation) -> None:
        self._more += operations

    def note(self, kind: str, summary: str, detail: dict[str, Json] | None = None, *, by: str = "") -> None:
        self.notes.append(Note(kind=kind, run=self.run, summary=summary, by=by, detail=detail or {}))

    def writes(self) -> list[Operation]:
        """All that is staged, but for the notes."""
        run = msgspec.structs.replace(self.run, steps=self.newest, unsettled=self._unsettled())
        found: list[Operation] = []
        if self._run_changed:
            found.append(Put(key=keys.run(run.id), value=encode(run)))
        found += [
            Put(key=keys.run_step(run.id, each), value=encode(self.steps[each])) for each in sorted(self._changed)
        ]
        found += [Delete(key=keys.run_step(run.id, each)) for each in sorted(self._gone)]
        found += [
            Put(key=keys.run_signal(run.id, each), value=encode(self.signals[each])) for each in sorted(self._signalled)
        ]
        found += [Delete(key=keys.run_order(run.id))] if self._order_done else []
        return [*found, *self._more]

    def _unsettled(self) -> tuple[str, ...] | None:
        if self.run.state not in HELD:
            return None
        return tuple(self.steps[number].step for number in sorted(self.steps) if is_unsettled(self.steps[number]))

    def written(self, revision: Revision) -> None:
        if self._run_changed:
            self.revision = revision
        self.notes.clear()
        self._changed.clear()
        self._gone.clear()
        self._signalled.clear()
        self._more.clear()
        self._run_changed = self._order_done = False

    def view(self, now_unix_ms: int) -> RunView:
        run = self.run
        past = {each.number: view_of_digest(each) for each in run.digests}
        present = {each.number: view_of_step(self._whole(each)) for each in self.steps.values()}
        steps = past | present
        return RunView(
            id=run.id,
            kind=run.kind,
            definition=run.definition,
            input=run.input,
            actor=run.actor,
            trigger=run.trigger,
            state=run.state,
            depth=run.depth,
            parent=run.parent,
            began_unix_ms=run.began_unix_ms,
            now_unix_ms=now_unix_ms,
            steps=tuple(steps[number] for number in sorted(steps)),
            signals=tuple(view_of_signal(self.signals[name]) for name in sorted(self.signals)),
            fences=run.fences,
        )

    def result_of(self, step: StepRecord) -> dict[str, Json]:
        return self.long_results.get(step.number, step.result)

    def context(self, step: StepRecord, now_unix_ms: int) -> StepContext:
        return StepContext(
            run=self.view(now_unix_ms),
            step=step.step,
            attempt=step.attempt,
            key=f"{self.run.id}/{step.step}",
            input=step.input,
            began_unix_ms=step.began_unix_ms,
            epoch=self.run.epoch,
            signal=self._signal_of(step),
            note=step.note,
        )

    def _signal_of(self, step: StepRecord) -> SignalView | None:
        found = self.signals.get(step.signal) if step.signal and step.state == "begun" else None
        return view_of_signal(found) if found is not None else None

    def _whole(self, step: StepRecord) -> StepRecord:
        long = self.long_results.get(step.number)
        return step if long is None else msgspec.structs.replace(step, result=long)
