"""From the layers' decisions to one, inside the guard rails: a pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from controllers.scaling.model import (
    Because,
    Choice,
    Decision,
    Layer,
    LayerDecision,
    Opinion,
    ScalingPolicy,
    SliceSeen,
    Surroundings,
)

STEP_MIN: Final = 4  # instances that may come at once however few there are
TURNS_MAX: Final = 6  # in five minutes: beyond, the gate would ask people before anything that serves goes
OWN_NUMBER_CLASS: Final = 1
SILENT_RATE: Final = 0.001  # calls a second, smoothed: a single call is below it after 46 seconds


def arbitrate(
    policy: ScalingPolicy,
    seen: SliceSeen,
    around: Surroundings,
    layers: Sequence[LayerDecision],
    opinion: Opinion | None = None,
) -> Decision:
    """The one decision. A person's word comes first, then what forbids any change, then the layers within the rails.

    layers: none where the metrics cannot be judged. opinion: the reasoning layer's, where it was asked and answered.
    """
    fixed = _fixed(seen, around, layers)
    if fixed is not None:
        return fixed
    need = _need(layers)
    chosen = _chosen(seen, layers, need, opinion)
    wanted, limits = _within(policy, seen, around, layers, chosen)
    return msgspec.structs.replace(chosen, wanted=wanted, because=(*chosen.because, *limits))


def _fixed(seen: SliceSeen, around: Surroundings, layers: Sequence[LayerDecision]) -> Decision | None:
    """What people said, and what keeps everything as it is."""
    if around.frozen:
        return _kept(seen.current, Because.FROZEN, layers)
    if around.pin is not None:
        pinned = min(max(around.pin.instances, seen.least), seen.most)
        return _kept(pinned, Because.PINNED, layers)
    if around.paused:
        return _kept(seen.current, Because.PAUSED, layers)
    if not layers:
        return _kept(seen.current, _unjudged(seen), layers)
    return None


def _unjudged(seen: SliceSeen) -> Because:
    """Why no layer could judge: that nobody calls is no fault of the figures."""
    if seen.rate is None or not 0.0 <= seen.rate < math.inf or seen.rate_per_instance != 0.0:
        return Because.NO_METRICS
    return Because.LEARNING if seen.rate > SILENT_RATE else Because.NO_TRAFFIC


def _kept(wanted: int, because: Because, layers: Sequence[LayerDecision]) -> Decision:
    need = _need(layers) if layers else wanted
    return Decision(wanted=wanted, need=need, asked=need, layer=Layer.GUARD, because=(because,), layers=tuple(layers))


def _need(layers: Sequence[LayerDecision]) -> int:
    return max(each.wanted for each in layers)


def _chosen(seen: SliceSeen, layers: Sequence[LayerDecision], need: int, opinion: Opinion | None) -> Decision:
    """Without an opinion the safer of the lower layers: the one that keeps more capacity."""
    safer = next(each for each in layers if each.wanted == need)
    if opinion is None:
        return _decision(safer, need, layers)
    lower = {each.layer: each for each in layers}
    match opinion.choice:
        case Choice.HOLD:
            return _decision(_own(seen.current, opinion), need, layers)
        case Choice.CUSTOM:
            own = _decision(_own(opinion.instances, opinion), need, layers)
            return msgspec.structs.replace(own, gate_class=OWN_NUMBER_CLASS)
        case Choice.TREE | Choice.FORECAST:
            return _decision(lower.get(Layer(opinion.choice), safer), need, layers)


def _own(instances: int, opinion: Opinion) -> LayerDecision:
    return LayerDecision(layer=Layer.REASONING, wanted=instances, because=Because.REASONING, path=(opinion.reason,))


def _decision(chosen: LayerDecision, need: int, layers: Sequence[LayerDecision]) -> Decision:
    return Decision(
        wanted=chosen.wanted,
        need=need,
        asked=chosen.wanted,
        layer=chosen.layer,
        because=(chosen.because,),
        multiple=chosen.multiple,
        path=chosen.path,
        layers=tuple(layers),
    )


def _within(
    policy: ScalingPolicy,
    seen: SliceSeen,
    around: Surroundings,
    layers: Sequence[LayerDecision],
    chosen: Decision,
) -> tuple[int, list[Because]]:
    """The number inside all rails, and those that moved it. Bounds come last: nothing else may lead out of them."""
    wanted, why = _in_shortage(layers, chosen)
    if wanted < seen.current:
        wanted, limits = _fewer(policy, seen, around, layers, wanted)
        why += limits
    elif wanted > seen.current:
        wanted, limits = _more(policy, seen, around, wanted)
        why += limits
    bounded = min(max(wanted, seen.least), seen.most)
    return bounded, [*why, Because.BOUNDS] if bounded != wanted else why


def _in_shortage(layers: Sequence[LayerDecision], chosen: Decision) -> tuple[int, list[Because]]:
    """More than is needed in the end, while too few serve; not where the reasoning layer said a number."""
    urgent = max(each.urgent for each in layers)
    if chosen.layer is Layer.REASONING or urgent <= chosen.wanted:
        return chosen.wanted, []
    return urgent, [Because.SHORT]


def _fewer(
    policy: ScalingPolicy,
    seen: SliceSeen,
    around: Surroundings,
    layers: Sequence[LayerDecision],
    wanted: int,
) -> tuple[int, list[Because]]:
    """Down to what was needed lately, to what every layer agrees to, in steps, and within what may stop serving: who
    does not serve yet goes first, and disturbs nobody."""
    stopped = _no_fewer(policy, around)
    if stopped is not None:
        return seen.current, [stopped]
    gone = max(1, math.floor(seen.current * policy.shrink_share))
    rails = [
        (seen.serving if around.turns >= TURNS_MAX else 0, Because.FLAPPING),
        (_held(seen, layers), Because.HELD),
        (max(max(each.wanted, each.keep) for each in layers), Because.LATER),
        (seen.current - gone, Because.STEP),
    ]
    if around.budget is not None:
        rails.append((seen.serving - max(0, around.budget), Because.BUDGET))
    why: list[Because] = []
    for least, because in rails:
        if least > wanted:
            wanted = min(seen.current, least)
            why.append(because)
    if 0 < wanted < seen.current and seen.current - wanted < policy.dead_band * seen.current:
        return seen.current, [*why, Because.DEAD_BAND]
    return wanted, why


def _held(seen: SliceSeen, layers: Sequence[LayerDecision]) -> int:
    """What was needed lately; of older needs only what a forecast thinks may come back."""
    said = [each.enough for each in layers if each.enough is not None]
    if not said or seen.held_lately is None:
        return seen.held
    return max(seen.held_lately, min(seen.held, max(said)))


def _more(policy: ScalingPolicy, seen: SliceSeen, around: Surroundings, wanted: int) -> tuple[int, list[Because]]:
    """Up in steps, and no further than nodes and money allow."""
    if around.overridden == "in":
        return seen.current, [Because.OVERRIDDEN]
    if _cooling(policy.cool_down_out_s, around):
        return seen.current, [Because.COOL_DOWN]
    rails = [(seen.current + max(STEP_MIN, math.floor(seen.current * policy.step_share)), Because.STEP)]
    if around.room is not None:
        rails.append((seen.current + max(0, around.room), Because.NODES_FULL))
    if policy.hour_cost_max is not None:
        affordable = math.floor(policy.hour_cost_max / policy.instance_hour_cost + 1e-9)
        rails.append((max(seen.current, affordable), Because.COST))
    why: list[Because] = []
    for most, because in rails:
        if most < wanted:
            wanted = most
            why.append(because)
    return wanted, why


def _no_fewer(policy: ScalingPolicy, around: Surroundings) -> Because | None:
    """What forbids taking any instance away now."""
    if around.overridden:
        return Because.OVERRIDDEN
    if around.deploying:
        return Because.DEPLOYING
    if around.incident:
        return Because.INCIDENT
    return Because.COOL_DOWN if _cooling(policy.cool_down_in_s, around) else None


def _cooling(cool_down_s: int, around: Surroundings) -> bool:
    return around.since_change_s is not None and around.since_change_s < cool_down_s
