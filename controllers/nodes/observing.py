"""From the replicated state to what the node level decides with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from controllers.gate.circumstances import RecentChanges
from controllers.gate.proposals import Proposal, ProposalState
from controllers.nodes.config import NodeConfig
from controllers.nodes.decide import without_place
from controllers.nodes.model import NodeSeen, NodesSeen
from controllers.nodes.operations import PROVISION, RETIRE
from controllers.nodes.records import NodeRequest, requests
from controllers.scaling.config import config_of as scaling_of
from controllers.scaling.standing import Standing, State
from runtime.deployment.placement import fits
from runtime.deployment.records import Records
from runtime.names import NodeId
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.state import keys
from runtime.state.values import NodeRecord

CONTROLLER: Final = "nodes"
ACTOR: Final = Actor(kind=ActorKind.CONTROLLER, id=CONTROLLER, role=Role.OPERATOR)
OURS: Final = frozenset({PROVISION, RETIRE})
_NAMED: Final = tuple(f'"{name}"'.encode() for name in sorted(OURS))
_WAITS: Final = (ProposalState.PENDING, ProposalState.APPROVED)
_ENDED: Final = (ProposalState.REJECTED, ProposalState.EXPIRED, ProposalState.WITHDRAWN)


def observe(
    state: State,
    records: Records,
    standings: Mapping[str, Standing],
    config: NodeConfig,
    *,
    without_room: int,
    now_unix_ms: int,
) -> NodesSeen:
    """without_room: instances that scaling would start, were there room. Ages are as of now; memory is the caller's."""
    asked = {each.node: each for _, each in requests(state)}
    live = records.live_nodes()
    slots, missing = _room(state, records, standings, live, without_room)
    proposals = tuple(_proposals(state))
    return NodesSeen(
        nodes=_nodes(records, standings, asked, live, is_roomy=not missing),
        wanted=sum(each.wanted for each in records.targets()),
        missing=missing,
        slots=slots,
        provider=bool(config.provider),
        provided=sum(each.state != "retiring" for each in asked.values()),
        coming=sum(each.state == "wanted" for each in asked.values()),
        leaving=sum(each.state == "retiring" for each in asked.values()),
        down=_down(records, asked, live),
        waiting=next((each.id for each in proposals if each.state in _WAITS), ""),
        frozen=_mark(state, keys.FREEZES),
        incident=_mark(state, keys.INCIDENTS),
        since_change_s=_age_s(_changes(state), now_unix_ms),
        since_refused_s=_age_s((_ended_at(each) for each in proposals if each.state in _ENDED), now_unix_ms),
    )


def _room(
    state: State,
    records: Records,
    standings: Mapping[str, Standing],
    live: tuple[NodeRecord, ...],
    without_room: int,
) -> tuple[int | None, int]:
    """(instances that a node takes, instances without room). Of several slices' limits the tightest counts."""
    limits = [each.config.node_instances_max for each in standings.values()]
    of_all = scaling_of(state, "").node_instances_max
    slots = min((each for each in (*limits, of_all) if each is not None), default=None)
    wanted = sum(each.wanted for each in records.targets())
    taking = sum(_takes(each) for each in live)
    return slots, _unplaced(records, live) + without_place(wanted, without_room, slots=of_all, nodes=taking)


def _unplaced(records: Records, live: tuple[NodeRecord, ...]) -> int:
    """Instances that placement finds no node for."""
    homeless = [each for each in records.targets() if not any(fits(node, each) for node in live)]
    if not homeless:
        return 0
    staying = {node.node for node in live if not node.leaving}
    placed = Counter(
        (each.assignment.slice, each.assignment.version) for each in records.placed() if each.node in staying
    )
    return sum(max(0, each.wanted - placed[each.settings.slice, each.settings.version]) for each in homeless)


def _takes(node: NodeRecord) -> bool:
    return not (node.cordoned or node.leaving or node.shutdown)


def _nodes(
    records: Records,
    standings: Mapping[str, Standing],
    asked: Mapping[str, NodeRequest],
    live: tuple[NodeRecord, ...],
    *,
    is_roomy: bool,
) -> tuple[NodeSeen, ...]:
    """is_roomy: a node may be spared, so that it matters which are needed."""
    load: Counter[NodeId] = Counter()
    disturbed: set[NodeId] = set()
    for each in records.placed():
        load[each.node] += 1
        at = standings.get(each.assignment.slice)
        if at is not None and (at.deploying or at.budget < 0 or at.incident):
            disturbed.add(each.node)
    found = []
    for node in live:
        request = asked.get(node.node)
        provided = request is not None and request.state != "retiring"
        found.append(
            NodeSeen(
                node=node.node,
                core=node.role == "core",
                provided=provided,
                takes=_takes(node),
                instances=load[node.node],
                needed=provided and is_roomy and _is_needed(records, live, node),
                disturbed=node.node in disturbed,
            )
        )
    return tuple(found)


def _is_needed(records: Records, live: tuple[NodeRecord, ...], gone: NodeRecord) -> bool:
    """Whether something that is wanted may be placed there and nowhere else."""
    others = [each for each in live if each is not gone]
    return any(
        each.wanted and fits(gone, each) and not any(fits(node, each) for node in others) for each in records.targets()
    )


def _down(records: Records, asked: Mapping[str, NodeRequest], live: tuple[NodeRecord, ...]) -> int:
    names = {each.node for each in live}
    coming_or_going = {name for name, each in asked.items() if each.state != "joined"}
    return sum(
        each.node not in names and each.node not in coming_or_going and not (each.leaving or each.shutdown)
        for each in records.nodes()
    )


def _mark(state: State, prefix: str) -> str:
    item = state.get(f"{prefix}cluster")
    return item.value.decode("utf-8", "replace")[:200] or "cluster" if item is not None else ""


def _proposals(state: State) -> Iterator[Proposal]:
    """The controller's own about nodes. Few of many are: the others are not even decoded."""
    for item in state.items(keys.PROPOSALS):
        if not any(name in item.value for name in _NAMED):
            continue
        try:
            found = msgspec.json.decode(item.value, type=Proposal)
        except msgspec.DecodeError:
            continue
        if found.actor.id == CONTROLLER and found.call.operation in OURS:
            yield found


def _ended_at(proposal: Proposal) -> int:
    votes = [vote.at_unix_ms for vote in proposal.votes]
    expired = proposal.state is ProposalState.EXPIRED
    return proposal.expires_unix_ms if expired else max([proposal.created_unix_ms, *votes])


def _changes(state: State) -> Iterator[int]:
    """When nodes were added or taken away, by whomever."""
    for item in state.items(keys.RECENT):
        try:
            found = msgspec.json.decode(item.value, type=RecentChanges)
        except msgspec.DecodeError:
            continue
        yield from (each.at_unix_ms for each in found.changes if each.operation in OURS)


def _age_s(times_unix_ms: Iterable[int], now_unix_ms: int) -> float | None:
    """Only the size counts: a clock that was set back must not make it last."""
    last = max(times_unix_ms, default=None)
    return abs(now_unix_ms - last) / 1_000 if last is not None else None
