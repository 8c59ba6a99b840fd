"""Where instances go: a pure function from what is wanted and what is there to what must change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from runtime.names import NodeId, SliceName
from runtime.state.values import InstanceAssignment, NodeRecord, SliceTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An assignment and the node it is on. `serving` says that it is an endpoint now, `settled` that it is one as the
    assignment says, not as an earlier one did."""

    node: NodeId
    assignment: InstanceAssignment
    serving: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`unplaced` counts what there was no node for, by slice."""

    write: tuple[Placed, ...] = ()
    delete: tuple[Placed, ...] = ()
    unplaced: Mapping[str, int] = field(default_factory=dict)


def place(
    targets: Sequence[SliceTarget],
    nodes: Sequence[NodeRecord],
    placed: Sequence[Placed],
    held: Collection[str] = frozenset(),
) -> Changes:
    """What to write and delete so that every target has its instances, moving as little as possible.

    nodes: the live ones. An instance on a node that is leaving stays until enough others serve; one on a node that is
    not listed is gone; one of a slice in `held` stays although nobody wants it. Equal inputs give equal outputs.
    """
    known = {node.node: node for node in nodes}
    wanted = {(target.settings.slice, target.settings.version) for target in targets}
    load = Counter(each.node for each in placed if each.node in known)
    numbers = {(each.node, each.assignment.slice, each.assignment.number) for each in placed}
    write: list[Placed] = []
    delete = [
        each
        for each in placed
        if each.node not in known or (_kind(each) not in wanted and each.assignment.slice not in held)
    ]
    unplaced: dict[str, int] = {}
    of_kind: dict[tuple[str, str], list[Placed]] = {}
    for each in placed:
        if each.node in known:
            of_kind.setdefault(_kind(each), []).append(each)
    for target in sorted(targets, key=lambda target: (target.settings.slice, target.settings.version)):
        kind = (target.settings.slice, target.settings.version)
        mine = of_kind.get(kind, [])
        fresh, missing = _fresh(target, nodes, mine, load, numbers)
        surplus = _surplus(target, mine, known, load, missing=missing)
        write += [*_refresh(target, [each for each in mine if each not in surplus]), *fresh]
        delete += surplus
        if missing:
            unplaced[target.settings.slice] = missing
    return Changes(write=tuple(write), delete=tuple(delete), unplaced=unplaced)


def _kind(each: Placed) -> tuple[str, str]:
    return each.assignment.slice, each.assignment.version


def _refresh(target: SliceTarget, mine: Sequence[Placed]) -> list[Placed]:
    """Those of `mine`, which stay, that take over the target's newer settings now. Those that keep running or do not
    serve anyway, all at once; others, which must stop for it, only as many as `min_available` can spare, but one at
    least while no other is on its way."""
    outdated = [(each, _refreshed(each, target)) for each in mine if not _is_current(each.assignment, target)]
    at_once = [new for old, new in outdated if not old.serving or keeps_running(old.assignment, new.assignment)]
    waiting = [new for _, new in outdated if new not in at_once]
    under_way = sum(not each.settled for each in mine)
    serving = sum(each.settled for each in mine)
    spare = max(serving - target.settings.min_available, 0 if under_way else 1)
    return [*at_once, *waiting[:spare]]


def _is_current(old: InstanceAssignment, target: SliceTarget) -> bool:
    return (old.settings, old.artifact_sha256, old.restarts) == (
        target.settings,
        target.artifact_sha256,
        target.restarts,
    )


def keeps_running(before: InstanceAssignment, after: InstanceAssignment) -> bool:
    """Whether an instance need not stop to become what `after` says: weight and bounds are others' affair."""
    settings = msgspec.structs.replace(
        after.settings,
        weight=before.settings.weight,
        instances=before.settings.instances,
        min=before.settings.min,
        max=before.settings.max,
        min_available=before.settings.min_available,
        placement=before.settings.placement,
    )
    return (settings, after.artifact_sha256, after.restarts, after.kills) == (
        before.settings,
        before.artifact_sha256,
        before.restarts,
        before.kills,
    )


def _refreshed(each: Placed, target: SliceTarget) -> Placed:
    """The same instance as the target wants it now."""
    assignment = msgspec.structs.replace(
        each.assignment,
        artifact_sha256=target.artifact_sha256,
        settings=target.settings,
        restarts=target.restarts,
        generation=each.assignment.generation + 1,
    )
    return Placed(node=each.node, serving=each.serving, assignment=assignment)


def _fresh(
    target: SliceTarget,
    nodes: Sequence[NodeRecord],
    mine: Sequence[Placed],
    load: Counter[NodeId],
    numbers: set[tuple[NodeId, SliceName, int]],
) -> tuple[list[Placed], int]:
    """New instances, and how many found no node."""
    leaving = {node.node for node in nodes if node.leaving}
    staying = [each for each in mine if each.node not in leaving]
    missing = target.wanted - len(staying)
    if missing <= 0:
        return [], 0
    open_nodes = [node for node in nodes if fits(node, target)]
    zone_of = {node.node: node.zone for node in nodes}
    here: Counter[NodeId] = Counter(each.node for each in staying)
    zones: Counter[str] = Counter(zone_of[each.node] for each in staying)
    fresh: list[Placed] = []
    while missing > 0 and open_nodes:
        by_zone = target.settings.placement.spread == "zone"
        node = min(
            open_nodes,
            key=lambda each: (zones[each.zone] if by_zone else 0, here[each.node], load[each.node], each.node),
        )
        fresh.append(_assigned(target, node.node, numbers))
        here[node.node] += 1
        zones[node.zone] += 1
        load[node.node] += 1
        missing -= 1
    return fresh, max(0, missing)


def fits(node: NodeRecord, target: SliceTarget) -> bool:
    """Whether new instances of the target may be placed there."""
    placement = target.settings.placement
    return (
        not node.cordoned
        and not node.leaving
        and node.role in placement.roles
        and (not placement.zones or node.zone in placement.zones)
    )


def _assigned(target: SliceTarget, node: NodeId, numbers: set[tuple[NodeId, SliceName, int]]) -> Placed:
    number = 1
    while (node, target.settings.slice, number) in numbers:
        number += 1
    numbers.add((node, target.settings.slice, number))
    assignment = InstanceAssignment(
        slice=target.settings.slice,
        number=number,
        version=target.settings.version,
        artifact_sha256=target.artifact_sha256,
        settings=target.settings,
        restarts=target.restarts,
        generation=1,
    )
    return Placed(node=node, assignment=assignment)


def _surplus(
    target: SliceTarget,
    mine: Sequence[Placed],
    known: Mapping[NodeId, NodeRecord],
    load: Counter[NodeId],
    *,
    missing: int,
) -> list[Placed]:
    """Those on leaving nodes go once the others serve; above the wanted number, the newest on the fullest node."""
    leaving = [each for each in mine if known[each.node].leaving]
    staying = [each for each in mine if not known[each.node].leaving]
    serving = sum(each.serving for each in staying)
    gone = leaving if serving >= target.wanted or (missing and serving >= target.settings.min_available) else []
    if target.wanted == 0:
        gone = leaving
    if len(staying) <= target.wanted:
        return gone
    here = Counter(each.node for each in staying)
    surplus = sorted(
        staying,
        key=lambda each: (
            each.serving,
            -here[each.node],
            -load[each.node],
            -each.assignment.number,
            each.node,
        ),
    )[: len(staying) - target.wanted]
    return [*gone, *surplus]
