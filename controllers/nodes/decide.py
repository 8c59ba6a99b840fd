"""Whether nodes come or go: a pure function. No clock, no randomness, no I/O."""

from __future__ import annotations

import math

from controllers.nodes.model import NodeBecause, NodeDecision, NodePolicy, NodeSeen, NodesSeen


def decide_nodes(policy: NodePolicy, seen: NodesSeen, now_s: float) -> NodeDecision:
    """More when instances have found no room for long enough, one less when all would fit without it for long enough.

    now_s: on the clock of `seen.short_since_s` and `seen.roomy_since_s`, which are the decision's before this one.
    """
    if seen.missing > 0:
        since_s = seen.short_since_s if seen.short_since_s is not None else now_s
        add, asked, because = _out(policy, seen, now_s - since_s)
        return NodeDecision(add=add, asked=asked, because=because, short_since_s=since_s)
    spare = _spare(policy, seen)
    if spare is None:
        return NodeDecision(because=(NodeBecause.ENOUGH,))
    since_s = seen.roomy_since_s if seen.roomy_since_s is not None else now_s
    stopped = _no_fewer(policy, seen, now_s - since_s)
    return NodeDecision(
        remove="" if stopped else spare.node,
        because=(NodeBecause.ROOM_TO_SPARE, *((stopped,) if stopped else ())),
        roomy_since_s=since_s,
    )


def without_place(wanted: int, without_room: int, *, slots: int | None, nodes: int) -> int:
    """Instances that find no room: those that scaling holds back, or all beyond what so many nodes take; slots: of one
    node, None is without limit."""
    beyond = wanted + without_room - slots * nodes if slots is not None else 0
    return max(0, without_room, beyond)


def _out(policy: NodePolicy, seen: NodesSeen, lasted_s: float) -> tuple[int, int, tuple[NodeBecause, ...]]:
    """(nodes to add, nodes that would make room, why)."""
    asked = math.ceil(seen.missing / seen.slots) if seen.slots else 1
    lacking = asked - seen.coming
    stopped = _no_more(policy, seen, lacking, lasted_s)
    if stopped is not None:
        return 0, asked, (NodeBecause.NO_ROOM, stopped)
    add, why = lacking, [NodeBecause.NO_ROOM]
    for most, because in ((policy.step, NodeBecause.STEP), (policy.most - seen.provided, NodeBecause.BOUNDS)):
        if most < add:
            add = max(0, most)
            why.append(because)
    return add, asked, tuple(why)


def _no_more(policy: NodePolicy, seen: NodesSeen, lacking: int, lasted_s: float) -> NodeBecause | None:
    """What forbids adding any now. That nobody provides nodes comes before all that people may wait for."""
    rails = (
        (lasted_s < policy.out_after_s, NodeBecause.NOT_YET),
        (not seen.provider, NodeBecause.NO_PROVIDER),
        (lacking <= 0, NodeBecause.COMING),
        (bool(seen.frozen), NodeBecause.FROZEN),
        (bool(seen.waiting), NodeBecause.PROPOSED),
        (_within(policy.ask_again_s, seen.since_refused_s), NodeBecause.TURNED_DOWN),
        (_within(policy.cool_down_out_s, seen.since_change_s), NodeBecause.COOL_DOWN),
    )
    return next((because for holds, because in rails if holds), None)


def _spare(policy: NodePolicy, seen: NodesSeen) -> NodeSeen | None:
    """The provided node that is missed least: it moves the fewest instances, and of several is the newest."""
    found = [each for each in seen.nodes if each.provided and not each.core and _may_go(policy, seen, each)]
    return max(found, key=lambda each: (-each.instances, len(each.node), each.node), default=None)


def _may_go(policy: NodePolicy, seen: NodesSeen, gone: NodeSeen) -> bool:
    """Everything that is wanted fits on the others, with headroom. Where nodes take any number, how much fits is not
    known, so that only an empty one goes."""
    if not gone.takes or gone.needed or gone.disturbed:
        return False
    if seen.slots is None:
        return gone.instances == 0
    others = sum(each.takes for each in seen.nodes if each.node != gone.node)
    return seen.wanted * (1.0 + policy.headroom) <= others * seen.slots


def _no_fewer(policy: NodePolicy, seen: NodesSeen, lasted_s: float) -> NodeBecause | None:
    """What forbids taking any away now."""
    rails = (
        (lasted_s < policy.in_after_s, NodeBecause.NOT_YET),
        (seen.provided <= policy.least, NodeBecause.BOUNDS),
        (not seen.provider, NodeBecause.NO_PROVIDER),
        (seen.coming > 0, NodeBecause.COMING),
        (seen.leaving > 0, NodeBecause.LEAVING),
        (seen.down > 0, NodeBecause.NODE_DOWN),
        (bool(seen.frozen), NodeBecause.FROZEN),
        (bool(seen.incident), NodeBecause.INCIDENT),
        (bool(seen.waiting), NodeBecause.PROPOSED),
        (_within(policy.ask_again_s, seen.since_refused_s), NodeBecause.TURNED_DOWN),
        (_within(policy.cool_down_in_s, seen.since_change_s), NodeBecause.COOL_DOWN),
    )
    return next((because for holds, because in rails if holds), None)


def _within(wait_s: int, since_s: float | None) -> bool:
    return since_s is not None and since_s < wait_s
