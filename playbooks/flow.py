"""What a playbook does next, decided from what its run has recorded: a pure flow on the kernel.

Each step of the document is up to four steps of the run: `ID/when` (is it wanted), `ID/plan` (what it would do, checked
against the limits before anything happens), `ID` (the effect), `ID/verify` (whether it worked). What a step asks for is
fixed with its plan, so that another attempt, or another leader, asks for the very same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from playbooks.actions.standing import params_of
from playbooks.actions.wait import WAIT
from playbooks.document.checking import Checker, verify_s
from playbooks.document.duration import milliseconds, seconds
from playbooks.document.model import START, Condition, OnFailure, Retry, Step, Verification
from playbooks.document.reading import Source
from playbooks.document.templates import filled, limit_s
from playbooks.limits.blast import beyond
from runtime.operations.operation import Effect
from runtime.operations.plan import BlastRadius, Json
from runtime.workflow.flow import (
    Ask,
    Directive,
    Do,
    Fail,
    Finish,
    RetryPolicy,
    RunView,
    Sleep,
    StepError,
    StepView,
)

CHECK: Final = "check"
VERIFY: Final = "verify"
PLAN: Final = "plan"
PERFORM: Final = "perform"
READ_S: Final = 30.0
SLACK_S: Final = 15.0  # what a verification may take beyond its own limits
READ_RETRY: Final = RetryPolicy(attempts=5, first_s=0.5, most_s=5.0)
PASSED: Final = ("done", "skipped")


@dataclass(frozen=True)
class PlaybookFlow:
    """Implements Flow."""

    source: Source
    checker: Checker

    def next(self, run: RunView) -> Directive:
        document = self.source.document
        if document.pre:
            early = self._conditions("pre", document.pre, run)
            if early is not None:
                return early
        for step in document.step:
            found = self._step(step, run)
            if found is not None:
                return found
        if document.verify is not None:
            view = run.step("verify")
            if view is None:
                return self._verify("verify", document.verify, run)
            if view.state not in PASSED:
                return _failed(document.verify.on_failure, "verify", _error(view))
        return Finish(result={"steps": [step.id for step in document.step if _passed(run, step.id)]})

    # -- one step ------------------------------------------------------------------------------------------------------

    def _step(self, step: Step, run: RunView) -> Directive | None:
        """What is left to do of it; None when it has ended, or is not wanted."""
        wanted = self._wanted(step, run)
        if wanted is not True:
            return wanted if wanted is not False else None
        effect = self._effects[step.id]
        for each in (
            self._still_right(step, run),
            self._planned(step, run) if effect is not Effect.READ else None,
            self._performed(step, run, effect),
            self._verified(step, run),
        ):
            if isinstance(each, StepError):
                return None if step.on_failure == "continue" else _failed(step.on_failure, step.id, each)
            if each is not None:
                return each
        return None

    def _wanted(self, step: Step, run: RunView) -> Directive | bool:
        if step.when == "true":
            return True
        view = run.step(f"{step.id}/when")
        if view is None:
            return _read(f"{step.id}/when", CHECK, {"conditions": [{"cel": step.when, "why": ""}], "ask": True})
        if view.state not in PASSED:
            return _failed("rollback", step.id, _error(view))
        return view.result.get("holds") is True or view.state == "skipped"

    def _still_right(self, step: Step, run: RunView) -> Directive | StepError | None:
        """After a wait the conditions that must always hold are looked at again, before anything else happens."""
        always = tuple(each for each in self.source.document.pre if each.always)
        if not always or not self._waited_before(step, run) or run.step(step.id) is not None:
            return None
        return self._conditions(f"{step.id}/pre", always, run)

    def _waited_before(self, step: Step, run: RunView) -> bool:
        before = self.source.document.step[: self._places[step.id]]
        last = next((view for each in reversed(before) if (view := run.step(each.id)) is not None), None)
        return last is not None and ("proposal" in last.result or "for" in last.result)

    def _planned(self, step: Step, run: RunView) -> Directive | StepError | None:
        view = run.step(f"{step.id}/plan")
        if view is None:
            return _read(
                f"{step.id}/plan",
                PLAN,
                {"step": step.id, "uses": step.uses, "with": step.with_, "inverse": step.undo == "inverse"},
            )
        if view.state not in PASSED:
            return _error(view)
        blast = msgspec.convert(view.result.get("blast") or {}, BlastRadius)
        too_much = beyond(self.source.document.limits.blast_radius, blast)
        return StepError(code="blast_radius", detail=too_much) if too_much else None

    def _performed(self, step: Step, run: RunView, effect: Effect) -> Directive | StepError | None:
        view = run.step(step.id)
        if view is None:
            return Do(
                step=step.id,
                action=PERFORM,
                input=self._input(step, run),
                effect=effect,
                timeout_s=limit_s(step.timeout, params_of(run)),
                retry=_policy(step.retry),
                undo=effect is not Effect.READ and self._undoes(step),
            )
        if view.state not in PASSED:
            return _error(view)
        if step.uses == WAIT and view.state == "done":
            until = view.ended_unix_ms + self._wait_ms(view)
            return Sleep(until_unix_ms=until) if run.now_unix_ms < until else None
        return None

    def _wait_ms(self, view: StepView) -> int:
        """What was filled in when it began; 0 once the outcome is compacted, long after."""
        text = view.result.get("for")
        return milliseconds(text) if isinstance(text, str) else 0

    def _verified(self, step: Step, run: RunView) -> Directive | StepError | None:
        if step.verify is None:
            return None
        view = run.step(f"{step.id}/verify")
        if view is None:
            return self._verify(f"{step.id}/verify", step.verify, run)
        return None if view.state in PASSED else _error(view)

    # -- what the steps are given --------------------------------------------------------------------------------------

    def _input(self, step: Step, run: RunView) -> dict[str, Json]:
        plan = run.step(f"{step.id}/plan")
        given: dict[str, Json] = {"step": step.id, "uses": step.uses, "approval": step.approval}
        request = plan.result.get("request") if plan is not None else None
        given |= {"request": request} if request is not None else {"with": step.with_}
        if step.uses == START:
            given["limit"] = filled(step.timeout, params_of(run))
        if step.undo is not None:
            given["undo"] = step.undo if isinstance(step.undo, str) else msgspec.to_builtins(step.undo)
        return given

    def _conditions(self, name: str, conditions: tuple[Condition, ...], run: RunView) -> Directive | None:
        view = run.step(name)
        if view is None:
            rows: list[Json] = [{"cel": each.cel, "why": each.why} for each in conditions]
            return _read(name, CHECK, {"conditions": rows})
        if view.state in PASSED:
            return None
        return Fail(code=_error(view).code, detail=_error(view).detail, undo=name != "pre")

    def _verify(self, name: str, wanted: Verification, run: RunView) -> Do:
        params = params_of(run)
        within, hold = filled(wanted.within, params), filled(wanted.hold, params)
        return Do(
            step=name,
            action=VERIFY,
            input={"cel": wanted.cel, "within": within, "hold": hold, "why": wanted.why},
            effect=Effect.READ,
            timeout_s=verify_s(wanted, params) + SLACK_S,
            retry=READ_RETRY,
        )

    def _undoes(self, step: Step) -> bool:
        return step.undo == "inverse" or (
            step.undo is not None and not isinstance(step.undo, str) and not step.undo.none
        )

    @cached_property
    def _effects(self) -> dict[str, Effect]:
        """What this version does not know has an effect that nobody can tell: its step then fails, and is told."""
        used = {step.id: self.checker.used(step.uses) for step in self.source.document.step}
        return {name: found.effect if found is not None else Effect.ONCE for name, found in used.items()}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {step.id: place for place, step in enumerate(self.source.document.step)}


def _read(step: str, action: str, given: dict[str, Json]) -> Do:
    return Do(step=step, action=action, input=given, effect=Effect.READ, timeout_s=READ_S, retry=READ_RETRY)


def _policy(retry: Retry) -> RetryPolicy:
    return RetryPolicy(attempts=retry.attempts, first_s=seconds(retry.first), most_s=seconds(retry.most))


def _passed(run: RunView, name: str) -> bool:
    view = run.step(name)
    return view is not None and view.state in PASSED


def _error(view: StepView) -> StepError:
    return view.error or StepError(code="step_failed", detail=f"{view.step} is {view.state}")


def _failed(what: OnFailure, step: str, error: StepError) -> Directive:
    detail = f"{step}: {error.detail}"
    if what == "ask":
        return Ask(detail=f"{error.code}: {detail}; try it again, take it as done, or cancel the run")
    return Fail(code=error.code, detail=detail, undo=what == "rollback")
