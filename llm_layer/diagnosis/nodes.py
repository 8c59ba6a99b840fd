"""Nodes that are down, silent, late, or through which alone calls fail. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from llm_layer.diagnosis.finding import Finding
from llm_layer.diagnosis.seen import Seen
from runtime.operations import subjects

LAG_MS_MAX: Final = 500.0  # of a node's processes: each call there waits so long
DOOR: Final = "gateway"
FAILED_MIN: Final = 5
ONE_NODE: Final = 0.9
NEVER_CAME: Final = ("no reply", "deadline", "connection", "unreachable")
"""What a gateway says of calls whose worker did not answer, as against those that it answered with an error."""
_ON_NODE: Final = re.compile(r", on node ([a-z0-9-]+)$")


def node_findings(seen: Seen) -> list[Finding]:
    """Of all nodes where the cluster was asked about, or a node that hosts the slice."""
    if seen.status is None:
        return []
    found = [*_down(seen), *_stores(seen), *_silent(seen), *_hanging(seen), *_through_one(seen), *_late(seen)]
    known: set[str] = set()
    first = []
    for each in sorted(found, key=lambda finding: -finding.weight):
        if each.root not in known:
            known.add(each.root)
            first.append(each)
    return first


def _finding(seen: Seen, mechanism: str, node: str, says: str, weight: float, *sources: str) -> Finding:
    return Finding(
        mechanism=mechanism, root=subjects.of_node(node), says=says, weight=weight, evidence=seen.cited(*sources)
    )


def _concerns(seen: Seen, node: str) -> bool:
    """Whether the node matters to what was asked about."""
    if not seen.slice:
        return True
    explained = seen.explained.get(seen.slice)
    failing = {each.node for each in explained.instances} if explained is not None else set()
    return node in seen.hosts(seen.slice) | failing


def _down(seen: Seen) -> Iterator[Finding]:
    assert seen.status is not None
    for node in seen.status.nodes:
        if node.state == "down" and _concerns(seen, node.node):
            says = f"node {node.node}{', which has instances of it,' if seen.slice else ''} is down"
            yield _finding(seen, "node_down", node.node, says, 0.96, "status")
    for alert in seen.alerts:
        node_name = alert.labels.get("node", "")
        if alert.name == "NodeUnresponsive" and alert.origin == "rule" and _concerns(seen, node_name):
            says = f"node {node_name} does not answer (alert {alert.name})"
            yield _finding(seen, "node_down", node_name, says, 0.95, "alerts")


def _stores(seen: Seen) -> Iterator[Finding]:
    """Without its store a node cannot keep its lease, and counts as down: this says why."""
    for alert in seen.alerts:
        node = alert.labels.get("node", "")
        if alert.name == "StoreSilent" and alert.origin == "rule" and node and _concerns(seen, node):
            yield _finding(seen, "store_silent", node, f"the store of node {node} answers nothing", 0.97, "alerts")


def _silent(seen: Seen) -> Iterator[Finding]:
    assert seen.status is not None
    up = {node.node for node in seen.status.nodes if node.state == "up"}
    for node in seen.silent:
        if node in up and _concerns(seen, node):
            says = f"node {node} counts as up, and answered none of several questions"
            yield _finding(seen, "node_silent", node, says, 0.91, "failed", "status")


def _hanging(seen: Seen) -> Iterator[Finding]:
    """A process that hangs takes calls and answers none, which no figure of calls that ended can show."""
    assert seen.status is not None
    behind = {node for each in seen.behind(seen.slice) for node in seen.hosts(each)} if seen.slice else set()
    for load in seen.status.load.nodes:
        if load.silent and (_concerns(seen, load.node) or load.node in behind):
            what = "its gateway" if DOOR in load.silent else "a process that hosts instances"
            says = f"on node {load.node} {what} hangs: it runs and answers nothing"
            yield _finding(seen, "node_fault", load.node, says, 0.94, "status")


def _through_one(seen: Seen) -> Iterator[Finding]:
    """Calls from outside that got no reply from one node alone: that of the instance, where it is told, else that of
    the gateway."""
    lost = [each for each in seen.failed if each.process == DOOR and any(word in each.detail for word in NEVER_CAME)]
    if len(lost) < FAILED_MIN:
        return
    named = (_ON_NODE.search(each.detail) for each in lost)
    whose = Counter(found[1] if found else each.node for found, each in zip(named, lost, strict=True))
    node, count = whose.most_common(1)[0]
    if count >= ONE_NODE * len(lost):
        says = f"{count} calls got no reply from node {node} within the last minute, and hardly any elsewhere"
        yield _finding(seen, "node_fault", node, says, 0.9, "failed")


def _late(seen: Seen) -> Iterator[Finding]:
    assert seen.status is not None
    for load in seen.status.load.nodes:
        if load.loop_lag_ms > LAG_MS_MAX and _concerns(seen, load.node):
            says = f"node {load.node} lags: its processes wait {load.loop_lag_ms:.0f} ms for their turn"
            yield _finding(seen, "node_busy", load.node, says, 0.65, "status")
