"""The operations that a sentence can mean, which members each needs, and which of them change something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOTHING: Final = "none"
"""What the cluster does not do; the training sentences of it hold what people ask for all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """`needs` must all be found in the sentence; `takes` may be."""

    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    changes: bool = False


def _change(*needs: str, takes: tuple[str, ...] = ()) -> Intent:
    return Intent(needs=needs, takes=takes, changes=True)


INTENTS: Final = {
    "slice.scale": _change("slice", "instances"),
    "slice.restart": _change("slice"),
    "slice.set-bounds": _change("slice", "min", "max"),
    "slice.set-routing-weights": _change("slice", "weights"),
    "instance.kill": _change("node", "slice", "number"),
    "node.cordon": _change("node"),
    "node.uncordon": _change("node"),
    "node.drain": _change("node"),
    "node.activate": _change("node"),
    "node.shutdown": _change("node"),
    "node.forget": _change("node"),
    "node.retire": _change("node"),
    "node.provision": _change("nodes"),
    "freeze.set": _change("subject", "why"),
    "freeze.lift": _change("subject"),
    "incident.open": _change("subject", "why"),
    "incident.close": _change("subject"),
    "alert.set-threshold": _change("slice", "metric", "bound", takes=("for_s",)),
    "alert.clear-threshold": _change("slice", "metric"),
    "controller.pin": _change("slice", "instances", takes=("minutes",)),
    "controller.unpin": _change("slice"),
    "blueprint.delete": _change("blueprint"),
    "log-level.set": _change("level", takes=("node",)),
    "log-level.unset": _change(takes=("node",)),
    "config.set": _change("name", "value", takes=("node", "slice")),
    "config.unset": _change("name", takes=("node", "slice")),
    "store.snapshot": _change(),
    "ttm.rollback": _change(),
    "playbook.run": _change("playbook"),
    "run.pause": _change("run"),
    "run.resume": _change("run"),
    "run.cancel": _change("run"),
    "alert.ack": _change("fingerprint"),
    "alert.unack": _change("fingerprint"),
    "cluster.status": Intent(),
    "node.list": Intent(),
    "slice.list": Intent(),
    "slice.show": Intent(needs=("slice",)),
    "slice.explain": Intent(needs=("slice",)),
    "instance.list": Intent(takes=("slice", "node")),
    "route.list": Intent(),
    "blueprint.list": Intent(),
    "blueprint.show": Intent(needs=("blueprint",)),
    "artifact.list": Intent(),
    "topology.show": Intent(),
    "event.list": Intent(),
    "alert.list": Intent(takes=("slice",)),
    "alert.show": Intent(needs=("fingerprint",)),
    "alert.rules": Intent(),
    "alert.receivers": Intent(),
    "alert.routes": Intent(),
    "alert.silences": Intent(),
    "playbook.list": Intent(),
    "playbook.show": Intent(needs=("playbook",)),
    "playbook.plan": Intent(needs=("playbook",)),
    "run.list": Intent(),
    "run.show": Intent(needs=("run",)),
    "lock.list": Intent(),
    "log.list": Intent(takes=("text", "log_level")),
    "trace.list": Intent(),
    "metric.show": Intent(needs=("slice",)),
    "metric.show-methods": Intent(needs=("slice",)),
    "metric.show-node": Intent(needs=("node",)),
    "model.status": Intent(),
    "model.budget": Intent(),
    "proposal.list": Intent(),
    "proposal.show": Intent(needs=("id",)),
    "proposal.diff": Intent(needs=("id",)),
    "audit.list": Intent(takes=("audit_subject",)),
    "policy.show": Intent(),
    "freeze.list": Intent(),
    "incident.list": Intent(),
    "config.list": Intent(),
    "config.get": Intent(needs=("name",)),
    "controller.status": Intent(takes=("slice",)),
    "controller.decisions": Intent(takes=("slice",)),
    "controller.forecast": Intent(takes=("slice",)),
    "controller.rules": Intent(),
    "controller.nodes": Intent(),
    "ttm.status": Intent(),
    "ttm.models": Intent(),
    "snapshot.list": Intent(),
    "store.member-list": Intent(),
    "principal.list": Intent(),
    "key.list": Intent(),
    "phrase.list": Intent(),
    "conversation.list": Intent(),
    "operation.list": Intent(),
    NOTHING: Intent(),
}
"""Who may do what, keys, policy and blueprints' sources are not among the changes: no sentence leads there."""

MEMBER_OF: Final = {"log_level": "level", "audit_subject": "subject"}
"""Slots that another slot's member has a name of."""
