"""The states of a run, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from runtime.errors import InvariantBroken
from runtime.workflow.records import ENDED, RunState


class Event(StrEnum):
    BLOCK = "block"
    GO = "go"
    """It has its locks, or what it waited for has come, or a person lets it go on."""
    WAIT = "wait"
    PAUSE = "pause"
    PARK = "park"
    UNDO = "undo"
    SUCCEED = "succeed"
    FAIL = "fail"
    COMPENSATE = "compensate"
    """Everything is undone."""
    CANCEL = "cancel"


_GOING: Final = (RunState.RUNNING, RunState.WAITING)
_HELD: Final = (RunState.PAUSED, RunState.NEEDS_HUMAN)

MOVES: Final[Mapping[tuple[RunState, Event], RunState]] = {
    (RunState.QUEUED, Event.BLOCK): RunState.BLOCKED,
    **{(state, Event.GO): RunState.RUNNING for state in (RunState.QUEUED, RunState.BLOCKED, *_GOING, *_HELD)},
    **{(state, Event.WAIT): RunState.WAITING for state in _GOING},
    **{(state, Event.PAUSE): RunState.PAUSED for state in _GOING},
    **{
        (state, Event.PARK): RunState.NEEDS_HUMAN
        for state in (RunState.QUEUED, RunState.BLOCKED, *_GOING, RunState.PAUSED, RunState.COMPENSATING)
    },
    **{(state, Event.UNDO): RunState.COMPENSATING for state in (*_GOING, *_HELD)},
    **{(state, Event.SUCCEED): RunState.SUCCEEDED for state in _GOING},
    **{(state, Event.FAIL): RunState.FAILED for state in RunState if state not in ENDED},
    (RunState.COMPENSATING, Event.COMPENSATE): RunState.COMPENSATED,
    **{(state, Event.CANCEL): RunState.CANCELLED for state in RunState if state not in ENDED},
}


class IllegalMove(InvariantBroken):
    """A run was to go where it cannot."""


def advance(state: RunState, event: Event) -> RunState:
    """Raises IllegalMove."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"a run that is {state} cannot {event}") from None
