"""What people do in stories and campaigns: approve, and say what came of that which nobody else can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from evals.workflow.counting import STARTER
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Submission
from runtime.operations.plan import Json
from runtime.workflow.records import RunRecord, StepRecord

BEN: Final = Actor(kind=ActorKind.PERSON, id="ben", role=Role.OPERATOR)
LOOK_S: Final = 0.5


def word_on(run: RunRecord, steps: Sequence[StepRecord], took_effect: Callable[[str], bool]) -> Submission:
    """Of a run that needs a person: about the step in doubt, what one finds who goes and looks.

    took_effect: by the step's key.
    """
    doubtful = next((each for each in steps if each.unknown or each.undo_state == "failed"), None)
    if doubtful is None:
        return Submission(operation="run.resume", request={"run": run.id}, actor=STARTER)
    outcome = "done" if took_effect(f"{run.id}/{doubtful.step}") else "skipped" if run.ends_as else "again"
    if run.ends_as and doubtful.state == "done":
        outcome = "again"
    request: dict[str, Json] = {"run": run.id, "step": doubtful.step, "outcome": outcome}
    return Submission(operation="run.retry-step", request=request, actor=STARTER)
