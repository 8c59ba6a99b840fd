"""The life of an instance, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from runtime.errors import InvariantBroken
from runtime.state.values import Phase


class Step(StrEnum):
    """What can happen to an instance."""

    LOAD_DONE = "load_done"
    ACTIVATION_BEGAN = "activation_began"
    ACTIVATION_DONE = "activation_done"
    DEACTIVATION_BEGAN = "deactivation_began"
    DEACTIVATION_DONE = "deactivation_done"
    UNLOAD_BEGAN = "unload_began"
    LOAD_BEGAN = "load_began"
    FAILED = "failed"


MOVES: Final[Mapping[tuple[Phase, Step], Phase]] = {
    (Phase.LOADING, Step.LOAD_DONE): Phase.LOADED,
    (Phase.LOADED, Step.ACTIVATION_BEGAN): Phase.ACTIVATING,
    (Phase.ACTIVATING, Step.ACTIVATION_DONE): Phase.ACTIVE,
    (Phase.ACTIVE, Step.DEACTIVATION_BEGAN): Phase.DEACTIVATING,
    (Phase.DEACTIVATING, Step.DEACTIVATION_DONE): Phase.LOADED,
    (Phase.LOADED, Step.UNLOAD_BEGAN): Phase.UNLOADING,
    (Phase.FAILED, Step.LOAD_BEGAN): Phase.LOADING,
    (Phase.FAILED, Step.UNLOAD_BEGAN): Phase.UNLOADING,
    **{(phase, Step.FAILED): Phase.FAILED for phase in Phase},
}


class IllegalMove(InvariantBroken):
    """A step that the table does not allow."""

    def __init__(self, phase: Phase, step: Step) -> None:
        super().__init__(f"an instance that is {phase} cannot take {step}")
        self.phase, self.step = phase, step


def advance(phase: Phase, step: Step) -> Phase:
    """The phase after the step. Raises IllegalMove."""
    try:
        return MOVES[phase, step]
    except KeyError:
        raise IllegalMove(phase, step) from None
