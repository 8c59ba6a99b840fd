"""The check of a history: first by the revisions that answers carry, then by search for one order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from evals.linearizability.history import History, Operation
from evals.linearizability.order import Offence, check_order
from evals.linearizability.search import STEPS_MAX, Undecided, search
from evals.linearizability.timeline import draw

CLOCK_ERROR: Final = 0.001  # by which share the clocks of members and of the history may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`because` says what is wrong, and `operations` are the fewest that show it."""

    result: Literal["linearizable", "violated", "undecided"]
    because: str = ""
    operations: tuple[Operation, ...] = ()
    checked: int = 0

    @property
    def ok(self) -> bool:
        return self.result == "linearizable"

    def __str__(self) -> str:
        if self.ok:
            return f"linearizable: {self.checked} operations"
        return f"{self.result}: {self.because}\n{draw(self.operations)}"


def check(history: History, *, steps_max: int = STEPS_MAX, clock_error: float = CLOCK_ERROR) -> Verdict:
    """Every answer of the history fits one order of all operations that keeps to real time, or it says what does not.

    `steps_max` bounds the search; beyond it the verdict is "undecided".
    """
    offence = check_order(history, clock_error)
    if offence is None:
        found = search(history, steps_max)
        if isinstance(found, Undecided):
            return Verdict(result="undecided", because=str(found), checked=len(history.operations))
        offence = found
    if offence is not None:
        return _violated(history, offence)
    return Verdict(result="linearizable", checked=len(history.operations))


def _violated(history: History, offence: Offence) -> Verdict:
    return Verdict(
        result="violated",
        because=offence.because,
        operations=tuple(sorted(offence.operations, key=lambda each: each.began_s)),
        checked=len(history.operations),
    )
