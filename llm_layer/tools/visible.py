"""Which operations a model may see, in which part of a graph. What is not named here does not exist for it."""

from __future__ import annotations

from typing import Final

VISIBLE_MAX: Final = 20
"""Tools of one question to a model: with more it chooses worse, and each takes some 150 tokens of its window."""

LOOKING: Final = (
    "cluster.status",
    "topology.show",
    "slice.show",
    "slice.explain",
    "instance.list",
    "metric.show",
    "metric.show-node",
    "log.list",
    "alert.list",
    "audit.list",
)
"""To find out what is wrong."""
ABOUT_CHANGES: Final = ("proposal.list", "proposal.show", "playbook.list", "playbook.show", "gate.explain")
FOUND: Final = (
    "alert.rules",
    "alert.show",
    "alert.silences",
    "artifact.list",
    "blueprint.list",
    "blueprint.show",
    "config.get",
    "config.list",
    "controller.decisions",
    "controller.forecast",
    "controller.nodes",
    "controller.rules",
    "controller.status",
    "controller.what-if",
    "event.list",
    "freeze.list",
    "incident.list",
    "lock.list",
    "metric.show-methods",
    "node.list",
    "operation.list",
    "operation.show",
    "playbook.plan",
    "policy.show",
    "proposal.diff",
    "route.list",
    "run.list",
    "run.show",
    "slice.list",
    "snapshot.list",
    "trace.list",
    "ttm.models",
    "ttm.status",
)
"""Seen once `find_tools` was asked for them. Keys, principals and receivers are nothing that a model reads."""

CHANGES: Final = (
    "slice.scale",
    "slice.restart",
    "slice.set-bounds",
    "slice.set-routing-weights",
    "instance.kill",
    "node.cordon",
    "node.uncordon",
    "node.drain",
    "node.activate",
    "node.provision",
    "playbook.run",
    "controller.pin",
    "controller.unpin",
    "log-level.set",
    "store.snapshot",
    "alert.silence",
    "alert.ack",
    "incident.open",
    "ttm.rollback",
)
"""That a model may fill in for people. Who may do what, keys, policy, membership, settings and what deletes are
none."""

READS: Final = frozenset((*LOOKING, *ABOUT_CHANGES, *FOUND))

FILLED_IN: Final = frozenset({"made", "created_unix_ms", "signed_by", "by", "cursor", "after", "dedupe"})
"""Members of requests that the cluster fills in, or that `more` stands for."""

NAMED: Final = {"slice": "slice", "node": "node", "blueprint": "blueprint", "playbook": "playbook"}
"""Members of requests that hold a name of the live inventory: member and kind."""


def tool_name(operation: str) -> str:
    """As providers allow names: `slice.scale` is `slice_scale`. Operations have one dot and no underscore."""
    return operation.replace(".", "_")


def operation_name(tool: str) -> str:
    return tool.replace("_", ".")
