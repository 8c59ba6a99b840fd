"""From the state to one node's routing table: pure, and the same on every node but for what is local."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from runtime.invocation.table import InstanceRow, PeerRow, RestingRow, RoutingTable, SliceRules
from runtime.names import NodeId
from runtime.sdk.contract import SliceContract
from runtime.state.values import Endpoint, NodeRecord, SliceTarget


def build(
    *,
    revision: int,
    node: NodeId,
    nodes: Sequence[NodeRecord],
    endpoints: Iterable[Endpoint],
    contracts: Iterable[SliceContract],
    local: Mapping[tuple[str, int], str],
    targets: Iterable[SliceTarget] = (),
    rules: SliceRules = SliceRules(),  # noqa: B008  frozen
    rules_of: Mapping[str, SliceRules] = MappingProxyType({}),
) -> RoutingTable:
    """nodes: the live ones. local: (slice, number) → worker id, of this node's instances that can take calls; an
    endpoint of this node without one is left out. targets: of which those rest that may be at no instances, while no
    version of their slice has any. System slices are the gateway's own affair. rules_of: of the slices
    that have other ones than `rules`."""
    live = {record.node: record for record in nodes}
    rows = [
        InstanceRow(
            each.slice,
            each.version,
            each.node,
            each.number,
            each.weight,
            local.get((each.slice, each.number), "") if each.node == node else "",
        )
        for each in endpoints
        if each.node in live and (each.node != node or (each.slice, each.number) in local)
    ]
    resting = _resting(targets, {row.slice for row in rows})
    used = {(row.slice, row.version) for row in rows} | {(row.slice, row.version) for row in resting}
    peers = (
        PeerRow(record.node, record.addresses.peer, leaving=record.leaving)
        for record in sorted(nodes, key=lambda record: record.node)
        if record.node != node
    )
    return RoutingTable(
        revision=revision,
        node=node,
        peers=tuple(peers),
        instances=tuple(sorted(rows, key=lambda row: (row.slice, row.version, row.node, row.number))),
        resting=resting,
        contracts=tuple(
            sorted(
                {(each.name, each.version): each for each in contracts if (each.name, each.version) in used}.values(),
                key=lambda each: (each.name, each.version),
            )
        ),
        rules=rules,
        rules_of=dict(rules_of),
    )


def _resting(targets: Iterable[SliceTarget], served: Collection[str]) -> tuple[RestingRow, ...]:
    found = (each.settings for each in targets)
    return tuple(
        RestingRow(each.slice, each.version, each.weight)
        for each in sorted(found, key=lambda each: (each.slice, each.version))
        if each.min == 0 < each.max and each.weight and each.slice not in served
    )
