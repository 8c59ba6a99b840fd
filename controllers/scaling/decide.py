"""The decision of the layers below the model: a pure function, in production as in the simulator."""

from __future__ import annotations

import math
from typing import Final

from controllers.scaling.model import Because, Decision, ScalingPolicy, SliceSeen
from controllers.scaling.tree import RuleTree

LATENCY_SHARE: Final = 0.8  # of the SLO: beyond it, what waits counts as load
CLEAR_S: Final = 15.0  # in which what waits should be done
STEP_MIN: Final = 4


def decide(policy: ScalingPolicy, tree: RuleTree, seen: SliceSeen, *, explain: bool = False) -> Decision:
    """How many instances there should be, and why. Without metrics nothing changes."""
    if seen.rate is None or not math.isfinite(seen.rate) or seen.rate < 0 or seen.rate_per_instance <= 0:
        return Decision(wanted=seen.current, need=seen.current, because=(Because.NO_METRICS,))
    multiple = tree.multiple(seen.features) if seen.features else 1.0
    needs = _needs(policy, seen, multiple)
    need = max(1, *(count for count, _ in needs))
    because = [why for count, why in needs if count == need][:1] or [Because.ENOUGH]
    wanted, limits = _limited(policy, seen, need)
    return Decision(
        wanted=wanted,
        need=need,
        because=(*because, *limits),
        multiple=multiple,
        path=tree.path(seen.features) if explain and seen.features else (),
    )


def _needs(policy: ScalingPolicy, seen: SliceSeen, multiple: float) -> list[tuple[int, Because]]:
    """What each layer asks for."""
    assert seen.rate is not None
    carried = seen.rate_per_instance * policy.utilisation
    found = [(_instances(seen.rate * multiple, carried), Because.RULES)]
    if seen.latency_p95_ms is not None and seen.latency_p95_ms > LATENCY_SHARE * policy.slo_p95_ms:
        found.append((_instances(seen.rate + seen.waiting / CLEAR_S, carried), Because.LATENCY))
    if seen.forecast is not None:
        planned = seen.rate_per_instance * policy.plan_utilisation
        found.append((_instances(seen.forecast.p50, planned), Because.FORECAST))
    return found


def _limited(policy: ScalingPolicy, seen: SliceSeen, need: int) -> tuple[int, list[Because]]:
    """Down only to what was needed lately and what the forecast keeps; in steps; within bounds."""
    wanted, why = need, []
    if need < seen.current:
        later = 0
        if seen.forecast is not None:
            later = _instances(seen.forecast.later_p50, seen.rate_per_instance * policy.plan_utilisation)
        wanted = min(seen.current, max(need, seen.held, later))
        why += [Because.HELD] if wanted > need else []
    largest = seen.current + max(STEP_MIN, math.floor(seen.current * policy.step_share))
    smallest = seen.current - max(1, math.floor(seen.current * policy.shrink_share))
    stepped = min(max(wanted, smallest), largest)
    bounded = min(max(stepped, seen.least), seen.most)
    why += [Because.STEP] if stepped != wanted else []
    why += [Because.BOUNDS] if bounded != stepped else []
    return bounded, why


def _instances(rate: float, carried: float) -> int:
    return math.ceil(rate / carried - 1e-9)
