"""Nodes that come and go in the simulator: the production decision, each second, as the leader asks it."""

from __future__ import annotations

from typing import Final

from controllers.nodes.decide import decide_nodes, without_place
from controllers.nodes.model import NodeDecision, NodePolicy, NodeSeen, NodesSeen
from evals.scaling.conditions import Conditions
from evals.scaling.world import Nodes

OWN, PROVIDED = "n", "auto-"
UNDECIDED: Final = NodeDecision(because=())


class NodeLevel:
    """For all policies alike, so that what differs is how they scale instances. A provider gives every node that is
    asked for, `node_start_s` later; one that goes gives its instances to the others."""

    def __init__(self, conditions: Conditions, nodes: Nodes) -> None:
        self._conditions, self._nodes = conditions, nodes
        self._policy = NodePolicy(act=True, most=conditions.nodes_most)
        self._before = UNDECIDED
        self._coming: list[int] = []
        """When each that was asked for joins, the next one first."""
        self._joined = 0
        self._changed_s: int | None = None

    def second(self, at: int, *, wanted: int, without_room: int) -> None:
        """wanted: instances that exist; without_room: those that found no room."""
        while self._coming and self._coming[0] <= at:
            self._coming.pop(0)
            self._joined += 1
            self._nodes.add(1)
        self._before = decide_nodes(self._policy, self._seen(at, wanted, without_room), float(at))
        if self._before.add:
            joins = at + int(self._conditions.node_start_s)
            self._coming += [joins] * self._before.add
        elif self._before.remove:
            self._joined -= 1
            self._nodes.add(-1)
        if self._before.is_change:
            self._changed_s = at

    def _seen(self, at: int, wanted: int, without_room: int) -> NodesSeen:
        up, slots = self._nodes.up, self._conditions.instances_per_node
        provided = min(self._joined, up)
        each = wanted // max(1, up)
        return NodesSeen(
            nodes=(
                *(NodeSeen(node=f"{OWN}{number}", core=True, instances=each) for number in range(up - provided)),
                *(
                    NodeSeen(node=f"{PROVIDED}{number}", core=False, provided=True, instances=each)
                    for number in range(provided)
                ),
            ),
            wanted=wanted,
            missing=without_place(wanted, without_room, slots=slots, nodes=up),
            slots=slots,
            provided=self._joined + len(self._coming),
            coming=len(self._coming),
            down=self._nodes.down,
            since_change_s=None if self._changed_s is None else float(at - self._changed_s),
            short_since_s=self._before.short_since_s,
            roomy_since_s=self._before.roomy_since_s,
        )
