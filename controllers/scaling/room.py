"""How many more instances the nodes take: by their number, and by the memory and CPU that each node tells of. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from controllers.context.snapshot import NodeContext
from controllers.scaling.config import ScalingConfig


def room_on(config: ScalingConfig, nodes: Iterable[NodeContext], instance_bytes: float | None) -> int | None:
    """On all of them; None is without limit. instance_bytes: that one more takes, None where that is not known."""
    total = 0
    for node in nodes:
        if node.takes_instances:
            found = _on(config, node, instance_bytes)
            if found is None:
                return None
            total += found
    return total


def _on(config: ScalingConfig, node: NodeContext, instance_bytes: float | None) -> int | None:
    """The least that any of its limits leaves. What a node does not tell limits nothing."""
    limits = []
    if config.node_instances_max is not None:
        limits.append(max(0, config.node_instances_max - node.instances))
    if node.busy_share is not None and node.busy_share >= config.node_busy_max:
        limits.append(0)
    if node.memory_share is not None:
        free_share = config.node_memory_max - node.memory_share
        if free_share <= 0:
            limits.append(0)
        elif instance_bytes is not None and node.memory_bytes > 0:
            limits.append(math.floor(free_share * node.memory_bytes / instance_bytes))
    return min(limits, default=None)
