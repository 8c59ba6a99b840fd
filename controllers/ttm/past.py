"""What a new leader forecasts anew of the past, so that it knows what the one before it knew.

That is how errors and coverage have been, how a probation stands, and what was said of the last hour. Pure but for the
model that it asks. Minutes come from this node's history, which every core node keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.cycle import Cycle, Tick
from controllers.ttm.drift import DriftCause
from controllers.ttm.history import Histories
from controllers.ttm.schema import ALIGNED, HISTORY
from controllers.ttm.standing import Standing
from controllers.ttm.trail import MINUTE_S

Loads = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The `count` minutes up to `last`. The loads are by slice, from the first minute that the first of them looks at:
    recent [n, count + HISTORY - 1], day_ago and week_ago [n, count + ALIGNED - 1]; NaN is not known."""

    last: int
    count: int
    recent: Loads
    day_ago: Loads
    week_ago: Loads

    def minute(self, slices: tuple[str, ...], at: int) -> Histories:
        """As they were at the end of the minute with that index."""
        return Histories(
            slices=slices,
            recent=self.recent[:, at : at + HISTORY],
            day_ago=self.day_ago[:, at : at + ALIGNED],
            week_ago=self.week_ago[:, at : at + ALIGNED],
        )

    def rates(self, slices: tuple[str, ...], minute: int) -> dict[str, float]:
        """What came in that minute, requests a second; NaN is not known."""
        column = self.recent[:, HISTORY - 1 + minute - (self.last - self.count + 1)]
        return dict(zip(slices, (column / MINUTE_S).tolist(), strict=True))


@dataclass(slots=True, kw_only=True)
class CaughtUp:
    """`drifted`: since the newest training. `standing`: what a probation came to, if it did. `newest`: the last ticks,
    oldest first."""

    drifted: dict[str, DriftCause] = field(default_factory=dict)
    standing: Standing | None = None
    newest: list[Tick] = field(default_factory=list)


def past_of(last: int, count: int, loads: Sequence[Loads]) -> Past:
    """loads: of each slice three in turn, as live.spans_of asks for them."""
    recent, day_ago, week_ago = (np.array(loads[at::3], dtype=np.float32) for at in range(3))
    return Past(last=last, count=count, recent=recent, day_ago=day_ago, week_ago=week_ago)


def caught_up(cycle: Cycle, past: Past, slices: tuple[str, ...], *, trained_until: int, kept: int) -> CaughtUp:
    """Leads the cycle through the past. trained_until: drift up to that minute has been answered. kept: ticks that are
    given back. Raises TtmFault; then the cycle knows what came before."""
    found = CaughtUp()
    for at in range(past.count):
        minute = past.last - past.count + 1 + at
        tick = cycle.minute(minute, past.minute(slices, at))
        if minute > trained_until:
            found.drifted |= tick.drifted
        if tick.standing in (Standing.BACK, Standing.KEPT):
            found.standing = tick.standing
        if past.count - at <= kept:
            found.newest.append(tick)
    return found
