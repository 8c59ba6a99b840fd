"""Our policy in the simulator: the production functions, fed as production feeds them."""

from __future__ import annotations

import math
from collections import deque

from controllers.gate.circumstances import RECENT_MAX, RecentChange
from controllers.scaling.decide import decide
from controllers.scaling.model import ScalingPolicy, SliceSeen, Surroundings
from controllers.scaling.signals import LoadSignals
from controllers.scaling.standing import CONTROLLER, since_change_s, turns_of
from controllers.scaling.starts import StartDelay
from controllers.scaling.tree import RuleTree
from evals.scaling.arrivals import MINUTE_S
from evals.scaling.days import a_day_ago
from evals.scaling.policy import Past, Seen


class Aether:
    """Layer 1, each second: signals, the tree of rules, the decision."""

    def __init__(self, past: Past, *, tree: RuleTree, policy: ScalingPolicy, remembers: bool) -> None:
        """remembers: whether it knows of its own changes, as production does: the guard rails on them hold then."""
        self._past = past
        self._tree, self._policy, self._remembers = tree, policy, remembers
        self._signals = LoadSignals()
        self._minutes = past.minutes.copy()
        self._minutes[:] = math.nan
        self._arrived = 0.0
        self._day_ago: float | None = None
        self._needs: deque[int] = deque(maxlen=max(1, policy.hold_s))
        self._starts = StartDelay()
        self._changes: deque[RecentChange] = deque(maxlen=RECENT_MAX)

    def wanted(self, seen: Seen) -> int:
        self._take(seen)
        decision = decide(self._policy, self._tree, self._seen(seen), self._around(seen))
        self._needs.append(decision.need)
        if self._remembers and decision.wanted != seen.current:
            self._changes.append(_change(seen, decision.wanted))
        return decision.wanted

    def _take(self, seen: Seen) -> None:
        """What history is for in production: minutes that are over."""
        self._signals.take(seen.arrived)
        self._starts.take(seen.at_s, serving=seen.serving, starting=seen.starting)
        self._arrived += seen.arrived
        after = seen.at_s + 1
        if after % MINUTE_S == 0:
            self._minutes[seen.at_s // MINUTE_S] = self._arrived / MINUTE_S
            self._arrived = 0.0
            self._day_ago = a_day_ago(self._minutes, self._past.season, after)

    def _seen(self, seen: Seen) -> SliceSeen:
        signals = self._signals
        return SliceSeen(
            rate=signals.rate,
            features=signals.features(day_ago_ratio=self._day_ago) if signals.is_warm else (),
            serving=seen.serving,
            starting=seen.starting,
            rate_per_instance=self._past.service.rate_per_instance,
            latency_p95_ms=seen.latency_p95_s * 1_000,
            waiting=seen.backlog,
            start_delay_s=self._starts.mean_s,
            held=max(self._needs, default=0),
        )

    def _around(self, seen: Seen) -> Surroundings:
        """As production's state has it of what was changed lately."""
        now_unix_ms = seen.at_s * 1_000
        return Surroundings(
            turns=turns_of(self._changes, now_unix_ms),
            since_change_s=since_change_s(self._changes, now_unix_ms),
            room=seen.room,
        )


def _change(seen: Seen, wanted: int) -> RecentChange:
    return RecentChange(
        at_unix_ms=seen.at_s * 1_000,
        actor=CONTROLLER,
        by_agent=False,
        operation="slice.scale",
        direction="out" if wanted > seen.current else "in",
    )
