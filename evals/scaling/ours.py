"""Our policy in the simulator: what the leader does each second, fed as a cluster feeds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec

from controllers.context.snapshot import SliceContext
from controllers.gate.circumstances import RecentChange, with_change
from controllers.scaling.boosted import Boosted
from controllers.scaling.capacity import CapacityEstimator
from controllers.scaling.config import Item, ScalingConfig
from controllers.scaling.judging import Advisers, Judgement, Now, SliceMemory, without_room
from controllers.scaling.signals import LoadSignals
from controllers.scaling.standing import CONTROLLER, Standing
from controllers.scaling.tree import RuleTree
from controllers.ttm.cycle import Model
from evals.scaling.arrivals import MINUTE_S
from evals.scaling.days import a_day_ago
from evals.scaling.foreseen import SLICE, Foreseen, Unforeseen
from evals.scaling.policy import Past, Seen

VERSION: Final = "1"
MIN_AVAILABLE: Final = 1  # as blueprints have it where they say nothing
UNLEARNT: Final = CapacityEstimator().capacity  # not asked: `rate_per_instance` of the configuration says it


class Aether:
    """All layers and guard rails; without a model, all but layer 2."""

    def __init__(
        self,
        past: Past,
        *,
        tree: RuleTree,
        config: ScalingConfig,
        model: Callable[[], Model] | None = None,
        boosted: Callable[[], Boosted] | None = None,
    ) -> None:
        """config: `rate_per_instance` is set to what the simulated instances carry: learning it is not simulated."""
        self._past = past
        self._config = msgspec.structs.replace(config, rate_per_instance=past.service.rate_per_instance)
        self._outlook = Foreseen(model(), season=past.season, band=past.band) if model is not None else Unforeseen()
        self._asked = Advisers(tree=tree, outlook=self._outlook, boosted=boosted() if boosted is not None else None)
        self._memory = SliceMemory()
        self._signals = LoadSignals()
        self._minutes = past.minutes.copy()
        self._minutes[:] = math.nan
        self._arrived = self._idle_s = 0.0
        self._day_ago: float | None = None
        self._recent: tuple[RecentChange, ...] = ()
        self._judged: Judgement | None = None

    def wanted(self, seen: Seen) -> int:
        self._take(seen)
        judged = self._memory.second(
            NO_PINS,
            self._standing(seen),
            self._load(seen),
            asked=self._asked,
            now=Now(seen.at_s * 1_000, float(seen.at_s)),
        )
        self._judged = judged
        if judged.is_change:
            self._recent = with_change(self._recent, _change(seen, judged.decision.wanted)).changes
        return judged.decision.wanted

    @property
    def without_room(self) -> int:
        """Instances that would have been started in the last second, were there room."""
        return without_room([self._judged]) if self._judged is not None else 0

    def _take(self, seen: Seen) -> None:
        """What the context keeps, and what history is for: minutes that are over."""
        self._signals.take(seen.arrived)
        self._idle_s = 0.0 if seen.arrived else self._idle_s + 1.0
        self._arrived += seen.arrived
        after = seen.at_s + 1
        if after % MINUTE_S == 0:
            self._minutes[seen.at_s // MINUTE_S] = self._arrived / MINUTE_S
            self._arrived = 0.0
            self._day_ago = a_day_ago(self._minutes, self._past.season, after)
        self._outlook.second(after, self._minutes)

    def _standing(self, seen: Seen) -> Standing:
        return Standing(
            slice=SLICE,
            version=VERSION,
            others=0,
            wanted=seen.current,
            serving=seen.serving,
            least=1,
            most=self._past.service.instances_max,
            deploying=False,
            budget=seen.serving - MIN_AVAILABLE,
            room=seen.room,
            nodes=frozenset(),
            frozen="",
            incident="",
            config=self._config,
            recent=self._recent,
        )

    def _load(self, seen: Seen) -> SliceContext:
        return SliceContext(
            slice=SLICE,
            version=VERSION,
            versions=(),
            is_deploying=False,
            serving=seen.serving,
            starting=seen.starting,
            rate=self._signals.rate,
            signals=self._signals,
            latency_p95_ms=seen.latency_p95_s * 1_000,
            waiting=seen.backlog,
            idle_s=self._idle_s,
            budget=seen.serving - MIN_AVAILABLE,
            capacity=UNLEARNT,
            figures=None,
            day_ago_ratio=self._day_ago,
            missing="",
        )


class NoPins:
    """Implements what judging reads of the state: nobody pinned anything."""

    def get(self, key: str) -> Item | None:
        del key
        return None


NO_PINS: Final = NoPins()


def _change(seen: Seen, wanted: int) -> RecentChange:
    """As the gate notes it beside the change."""
    return RecentChange(
        at_unix_ms=seen.at_s * 1_000,
        actor=CONTROLLER,
        by_agent=False,
        operation="slice.scale",
        direction="out" if wanted > seen.current else "in",
        took_back=seen.serving <= wanted < seen.current,
    )
