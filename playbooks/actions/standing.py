"""Who acts in a run, and what its expressions and templates see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from playbooks.document.templates import rendered
from playbooks.errors import ExpressionFailed, ExpressionInvalid
from playbooks.expressions.evaluation import value_of
from playbooks.ports import PlaybookPorts
from runtime.operations.actor import Actor, ActorKind
from runtime.operations.plan import Json
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import RunView

KIND: Final = "playbook"


def actor_of(run: RunView) -> Actor:
    return actor_for(run.actor, str(run.input.get("playbook", "")))


def actor_for(starter: Actor, playbook: str) -> Actor:
    """The playbook, for who started it: it may do no more than that one."""
    return Actor(
        kind=ActorKind.PLAYBOOK,
        id=f"playbook:{playbook}",
        role=starter.role,
        owns=starter.owns,
        reads_only=starter.reads_only,
        behind=starter,
    )


def params_of(run: RunView) -> dict[str, Json]:
    found = run.input.get("params")
    return dict(found) if isinstance(found, dict) else {}


def seen_by(run: RunView) -> dict[str, Json]:
    """`params`, and `steps` with what each has come to."""
    steps: dict[str, Json] = {
        view.step: {"state": view.state, **view.result} for view in run.steps if "/" not in view.step
    }
    return {"params": params_of(run), "steps": steps}


def filled_in(ports: PlaybookPorts, run: RunView, given: Mapping[str, Json]) -> dict[str, Json]:
    """`with` as it is meant now. Raises StepFailed."""
    picture, seen = ports.picture(), seen_by(run)
    try:
        found = rendered(dict(given), params_of(run), lambda text: value_of(text, picture, seen))
    except (ExpressionFailed, ExpressionInvalid) as error:
        raise StepFailed(error.code, str(error)) from error
    except KeyError as error:
        raise StepFailed("parameters_invalid", f"there is no parameter {error}") from error
    return msgspec.convert(found, dict[str, Json])


def reason_of(run: RunView, step: str) -> str:
    return f"playbook {run.input.get('playbook')} {run.input.get('version')}, run {run.id}, step {step}"
