"""Our policy in the simulator: the production functions, fed as production feeds them."""

from __future__ import annotations

from collections import deque

from controllers.scaling.decide import decide
from controllers.scaling.model import ScalingPolicy, SliceSeen
from controllers.scaling.signals import LoadSignals
from controllers.scaling.tree import RuleTree
from evals.scaling.policy import Past, Seen

RULES_EACH_S = 5


class Aether:
    """Layer 1: signals, the tree of rules, the decision."""

    def __init__(self, past: Past, *, tree: RuleTree, policy: ScalingPolicy) -> None:
        self._past = past
        self._tree, self._policy = tree, policy
        self._signals = LoadSignals()
        self._features: tuple[float, ...] = ()
        self._needs: deque[int] = deque(maxlen=max(1, policy.hold_s // RULES_EACH_S))

    def wanted(self, seen: Seen) -> int:
        self._signals.take(seen.arrived)
        if seen.at_s % RULES_EACH_S:
            return seen.current
        decision = decide(self._policy, self._tree, self._seen(seen))
        self._needs.append(decision.need)
        return decision.wanted

    def _seen(self, seen: Seen) -> SliceSeen:
        signals = self._signals
        return SliceSeen(
            rate=signals.rate,
            features=signals.features(day_ago_ratio=self._day_ago(seen.at_s)) if signals.is_warm else (),
            serving=seen.serving,
            starting=seen.starting,
            rate_per_instance=self._past.service.rate_per_instance,
            latency_p95_ms=seen.latency_p95_s * 1_000,
            waiting=seen.backlog,
            held=max(self._needs, default=0),
        )

    def _day_ago(self, at_s: int) -> float | None:
        """How the rate went on a day ago: the highest of this minute and two more, over that of the one before."""
        minutes, at = self._past.minutes, at_s // 60 - self._past.season
        if at < 1:
            return None
        return float(minutes[at : at + 3].max()) / (float(minutes[at - 1]) + 1e-6)
