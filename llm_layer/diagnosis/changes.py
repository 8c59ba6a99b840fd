"""Which changes may be why a slice is unwell. Pure."""

from __future__ import annotations

from typing import Final

from runtime.operations import subjects
from runtime.operations.queries.slices import ChangeRow

TAKES_HOLD_MS: Final = 60_000  # from a change to what comes of it: instances are replaced one after the other
EARLY_MS: Final = 15_000  # clocks, and figures of whole seconds
MADE: Final = frozenset({"applied", "break_glass", "rolled_back"})
"""Kinds of audit records that tell of something that was changed."""
CHANGES_NOTHING: Final = frozenset(
    {"slice.restart", "instance.kill", "controller.unpin", "incident.open", "freeze.set"}
)
"""Operations after which a slice is wanted as it was before, so that it is not they that broke it."""

SCALING: Final = "scaling"
"""Who the audit says it was where the cluster scaled a slice by itself, as it does many times a day."""


def is_suspect(change: ChangeRow, name: str) -> bool:
    return change.kind in MADE and change.operation not in CHANGES_NOTHING and may_concern(change, name)


def is_own_scaling(change: ChangeRow) -> bool:
    """It follows the load: it can leave a slice short of instances, and breaks none."""
    return change.actor == SCALING and change.operation == "slice.scale"


def may_concern(change: ChangeRow, name: str) -> bool:
    """A blueprint deploys many slices, and those that it left as they were owe it nothing."""
    return change.touched is None or subjects.of_slice(name) in change.touched
