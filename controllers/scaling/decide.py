"""The decisions of the layers below the model, and the one they come to: pure, in production as in the simulator."""

from __future__ import annotations

import math
from typing import Final

from controllers.scaling.arbitration import arbitrate
from controllers.scaling.model import (
    Because,
    Decision,
    Layer,
    LayerDecision,
    Opinion,
    ScalingPolicy,
    SliceSeen,
    Surroundings,
    at_quantile,
)
from controllers.scaling.tree import RuleTree

LATENCY_SHARE: Final = 0.8  # of the SLO: beyond it, what waits counts as load
CLEAR_S: Final = 15.0  # in which what waits should be done
NOTHING_AROUND: Final = Surroundings()


def decide(
    policy: ScalingPolicy,
    tree: RuleTree,
    seen: SliceSeen,
    around: Surroundings = NOTHING_AROUND,
    *,
    opinion: Opinion | None = None,
    explain: bool = False,
) -> Decision:
    """How many instances there should be, and why. Without metrics nothing changes."""
    if not can_judge(seen):
        return arbitrate(policy, seen, around, ())
    layers = [by_rules(policy, tree, seen, explain=explain)]
    if seen.forecast is not None:
        layers.append(by_forecast(policy, seen))
    return arbitrate(policy, seen, around, tuple(layers), opinion)


def can_judge(seen: SliceSeen) -> bool:
    """Whether the metrics are there and make sense."""
    known = seen.rate is not None and math.isfinite(seen.rate) and seen.rate >= 0
    return known and math.isfinite(seen.rate_per_instance) and seen.rate_per_instance > 0


def by_rules(policy: ScalingPolicy, tree: RuleTree, seen: SliceSeen, *, explain: bool = False) -> LayerDecision:
    """Layer 1: the present rate times the multiple that the rules want to be ready for, or what waits."""
    assert seen.rate is not None
    carried = seen.rate_per_instance * policy.utilisation
    multiple = tree.multiple(seen.features) if seen.features else 1.0
    rate, because = seen.rate * multiple, Because.RULES
    wanted = instances_for(rate, carried)
    queued = instances_for(seen.rate + seen.waiting / CLEAR_S, carried)
    late = seen.latency_p95_ms is not None and seen.latency_p95_ms > LATENCY_SHARE * policy.slo_p95_ms
    if late and queued > wanted:
        wanted, rate, because = queued, seen.rate + seen.waiting / CLEAR_S, Because.LATENCY
    if wanted < 1 or (seen.least == 0 and seen.idle_s >= policy.idle_s):
        wanted, because = _at_rest(policy, seen)
    return LayerDecision(
        layer=Layer.TREE,
        wanted=wanted,
        because=because,
        urgent=_urgent(policy, seen, queued),
        multiple=multiple,
        path=tree.path(seen.features) if explain and seen.features else (),
        rate=rate,
    )


def _urgent(policy: ScalingPolicy, seen: SliceSeen, queued: int) -> int:
    """What is started while there is a shortage; 0 without one, where starts are quick or not known to be slow, and
    where none serves, as one start is enough to begin. queued: instances that the present load needs."""
    if seen.start_delay_s is None or seen.start_delay_s < policy.spare_start_s:
        return 0
    missing = queued - seen.serving
    return queued + math.floor(missing * policy.spare_starts) if missing > 0 and seen.serving else 0


def _at_rest(policy: ScalingPolicy, seen: SliceSeen) -> tuple[int, Because]:
    """Without load: one instance, or none once nobody has called for long. Where there are none, none until somebody
    calls: a leader that began a moment ago does not know for how long nobody has."""
    if seen.waiting > 0:
        return 1, Because.WAITING
    is_over = seen.idle_s >= policy.idle_s or not seen.current
    return (0, Because.IDLE) if seen.least == 0 and is_over else (1, Because.ENOUGH)


def by_forecast(policy: ScalingPolicy, seen: SliceSeen) -> LayerDecision:
    """Layer 2: the rate that is planned for, ahead of a peak; and not fewer than the minutes after it need."""
    assert seen.forecast is not None
    carried = seen.rate_per_instance * policy.plan_utilisation
    quantile = policy.planned_quantile
    rate = at_quantile(seen.forecast.soon, quantile)
    return LayerDecision(
        layer=Layer.FORECAST,
        wanted=instances_for(rate, carried),
        keep=instances_for(at_quantile(seen.forecast.later, quantile), carried),
        because=Because.FORECAST,
        rate=rate,
        quantile=quantile,
    )


def instances_for(rate: float, carried: float) -> int:
    """Fewest that carry the rate, at so much each."""
    return math.ceil(rate / carried - 1e-9)
