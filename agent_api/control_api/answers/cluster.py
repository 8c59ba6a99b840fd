"""Answers about the cluster as a whole and its nodes."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from agent_api.control_api.answers.rows import instance_rows, node_rows, slice_rows
from agent_api.control_api.answers.standing import edges_of, waits_of
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import NotFound
from runtime.operations.actor import Actor
from runtime.operations.queries.cluster import (
    Blocked,
    ClusterStatus,
    Load,
    PlacedInstance,
    PlacedNode,
    PlacedSlice,
    StatusRequest,
    Topology,
    TopologyRequest,
    Zone,
)
from runtime.operations.queries.nodes import NodeListRequest, NodeMetricRequest, NodeMetricShown, NodePage, NodeRow
from runtime.operations.queries.page import page_of
from runtime.operations.queries.slices import InstanceRow, SliceRow
from runtime.spelling import nearest

STATUS_ROWS_MAX: Final = 1_000


class ClusterAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._view = parts.view

    async def status(self, _request: StatusRequest, _actor: Actor) -> ClusterStatus:
        view = self._view
        return ClusterStatus(
            node=self._parts.node,
            leader=self._parts.leader(),
            nodes=tuple(node_rows(view, view.nodes()[:STATUS_ROWS_MAX])),
            slices=tuple(slice_rows(view, view.targets()[:STATUS_ROWS_MAX])),
            blueprints=tuple(each.blueprint for each in view.blueprints()),
            load=msgspec.convert(self._parts.telemetry.picture(), Load),
        )

    async def nodes(self, request: NodeListRequest, _actor: Actor) -> NodePage:
        page, cursor = page_of(self._view.nodes(), lambda each: (each.node,), request)
        return NodePage(items=tuple(node_rows(self._view, tuple(page))), next=cursor)

    async def node_metric(self, request: NodeMetricRequest, _actor: Actor) -> NodeMetricShown:
        found = self._parts.telemetry.node_window(request.node)
        if found is None:
            known = {each.node for each in self._view.nodes()}
            raise NotFound(f"there are no figures of node {request.node!r}{nearest(request.node, known)}")
        return msgspec.convert(found, NodeMetricShown)

    async def topology(self, _request: TopologyRequest, _actor: Actor) -> Topology:
        view = self._view
        instances = list(instance_rows(view))
        zones: dict[str, list[PlacedNode]] = defaultdict(list)
        for node in node_rows(view, view.nodes()):
            zones[node.zone].append(_placed_node(node, [each for each in instances if each.node == node.node]))
        edges = edges_of(view)
        return Topology(
            zones=tuple(Zone(zone=name, nodes=tuple(zones[name])) for name in sorted(zones)),
            edges=tuple(edges),
            blocked=tuple(
                _blocked(row, waits_of(row, edges, instances))
                for row in slice_rows(view, view.targets())
                if row.serving < row.wanted
            ),
        )


def _placed_node(node: NodeRow, instances: list[InstanceRow]) -> PlacedNode:
    placed: dict[tuple[str, str], list[PlacedInstance]] = defaultdict(list)
    for each in instances:
        placed[each.slice, each.version].append(
            PlacedInstance(number=each.number, phase=each.phase, serving=each.serving, reason=each.reason)
        )
    return PlacedNode(
        node=node.node,
        role=node.role,
        state=node.state,
        cordoned=node.cordoned,
        slices=tuple(
            PlacedSlice(slice=name, version=version, instances=tuple(rows))
            for (name, version), rows in sorted(placed.items())
        ),
    )


def _blocked(row: SliceRow, why: tuple[str, ...]) -> Blocked:
    return Blocked(slice=row.slice, version=row.version, wanted=row.wanted, serving=row.serving, why=why)
