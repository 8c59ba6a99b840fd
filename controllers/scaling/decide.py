"""The decisions of the layers below the model, and the one they come to: pure, in production as in the simulator."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from controllers.scaling.arbitration import arbitrate
from controllers.scaling.boosted import corrected
from controllers.scaling.model import (
    Because,
    Decision,
    Layer,
    LayerDecision,
    Opinion,
    OwnRules,
    ScalingPolicy,
    SliceSeen,
    Surroundings,
    at_quantile,
)
from controllers.scaling.tree import RuleTree

LATENCY_SHARE: Final = 0.8  # of the SLO: beyond it, what waits counts as load
CLEAR_S: Final = 15.0  # in which what waits should be done
RATE_MIN: Final = 1 / 60  # of a forecast, calls a second: less than one call in a minute keeps no instance
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
    layers = [] if (first := layer_1(policy, tree, seen, around, explain=explain)) is None else [first]
    if seen.forecast is not None and can_judge(seen):
        layers.append(by_forecast(policy, seen))
    return arbitrate(policy, seen, around, tuple(layers), opinion)


def can_judge(seen: SliceSeen) -> bool:
    """Whether the metrics are there and make sense, and it is known what an instance carries."""
    return is_known(seen) and math.isfinite(seen.rate_per_instance) and seen.rate_per_instance > 0


def is_known(seen: SliceSeen) -> bool:
    return seen.rate is not None and math.isfinite(seen.rate) and seen.rate >= 0


def layer_1(
    policy: ScalingPolicy, tree: RuleTree, seen: SliceSeen, around: Surroundings, *, explain: bool
) -> LayerDecision | None:
    """The tree and the operators' own rules, whichever keeps more; these alone where they stand instead of it, or where
    it cannot judge yet and one of them holds."""
    own = seen.own_rules
    if own is None or not is_known(seen):
        return by_rules(policy, tree, seen, explain=explain) if can_judge(seen) else None
    by_own = by_own_rules(own, seen, around)
    if not own.tree:
        return by_own
    if not can_judge(seen):
        return by_own if by_own.path else None
    by_tree = by_rules(policy, tree, seen, explain=explain)
    if not by_own.path or by_own.wanted <= by_tree.wanted:
        return by_tree
    return msgspec.structs.replace(by_tree, wanted=by_own.wanted, because=by_own.because, path=by_own.path)


def by_own_rules(own: OwnRules, seen: SliceSeen, around: Surroundings) -> LayerDecision:
    """The largest step that a stable rule asks for: where one wants more, none takes away. As it is without any; but
    who is called while there is none is not left alone."""
    since_s = around.since_change_s
    due = [rule for rule in own.stable if since_s is None or since_s >= rule.cool_down_s]
    step = max((rule.step for rule in due), default=0)
    if not step and not seen.current and seen.waiting > 0:
        return LayerDecision(layer=Layer.TREE, wanted=1, because=Because.WAITING)
    return LayerDecision(
        layer=Layer.TREE,
        wanted=max(0, seen.current + step),
        because=Because.OWN_RULE if step else Because.ENOUGH,
        path=tuple(rule.name for rule in due if rule.step == step),
        rate=seen.rate or 0.0,
    )


def by_rules(policy: ScalingPolicy, tree: RuleTree, seen: SliceSeen, *, explain: bool = False) -> LayerDecision:
    """Layer 1: the present rate times the multiple that the rules want to be ready for, or what waits."""
    assert seen.rate is not None
    carried = seen.rate_per_instance * policy.utilisation
    multiple = _multiple(policy, tree, seen)
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
        path=_path(policy, tree, seen) if explain and seen.features else (),
        rate=rate,
    )


def _multiple(policy: ScalingPolicy, tree: RuleTree, seen: SliceSeen) -> float:
    """The tree's, as the boosted model corrects it."""
    if not seen.features:
        return 1.0
    return corrected(tree.multiple(seen.features), seen.boosted if policy.boosted else None)


def _path(policy: ScalingPolicy, tree: RuleTree, seen: SliceSeen) -> tuple[str, ...]:
    path = tree.path(seen.features)
    if seen.boosted is None or not policy.boosted:
        return path
    return *path, f"{tree.multiple(seen.features):.2f} x by the tree, {seen.boosted:.2f} x by the boosted model"


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
        wanted=_ahead(rate, carried),
        keep=_ahead(at_quantile(seen.forecast.later, quantile), carried),
        enough=_ahead(at_quantile(seen.forecast.soon, policy.release_quantile), carried),
        because=Because.FORECAST,
        rate=rate,
        quantile=quantile,
    )


def _ahead(rate: float, carried: float) -> int:
    """Of a slice that is seldom called the median is a thousandth of a call, and never quite none."""
    return instances_for(rate, carried) if rate >= RATE_MIN else 0


def instances_for(rate: float, carried: float) -> int:
    """Fewest that carry the rate, at so much each."""
    return math.ceil(rate / carried - 1e-9)
