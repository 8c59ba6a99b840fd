"""What is written down about nodes: which were asked for, and what was decided and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from controllers.nodes.config import NodeConfig
from controllers.nodes.model import NodeDecision, NodesSeen
from controllers.nodes.port import NodeRole
from controllers.scaling.config import Reads
from controllers.scaling.records import GateAnswer
from runtime.consensus.store import KeyValue
from runtime.deployment.records import Snapshot
from runtime.state import keys
from runtime.state.values import Value

SCHEMA_VERSION: Final = 1


class NodeRequest(Value, frozen=True, kw_only=True):
    """One provided node, by its name, which is used once. `wanted` until it has joined; `retiring` until the provider
    has taken it back, and the record goes."""

    node: str
    state: Literal["wanted", "joined", "retiring"] = "wanted"
    role: NodeRole = "worker"


class NodeNumber(Value, frozen=True, kw_only=True):
    """How many nodes were ever asked for: names are made from it."""

    made: int = 0


class NodeTrouble(Value, frozen=True, kw_only=True):
    """What keeps nodes from coming or going, in words, while it does."""

    why: str


class NodeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What there was so long after the decision."""

    after_min: int
    nodes: int
    """That live."""
    provided: int
    """By a provider, without those on their way out."""
    coming: int
    wanted: int
    """Instances of all slices."""
    missing: int
    """Instances that found no room."""


def outcome_of(seen: NodesSeen, after_min: int) -> NodeOutcome:
    return NodeOutcome(
        after_min=after_min,
        nodes=len(seen.nodes),
        provided=seen.provided,
        coming=seen.coming,
        wanted=seen.wanted,
        missing=seen.missing,
    )


class NodeDecisionRecord(Value, frozen=True, kw_only=True):
    """`decide_nodes(config, seen, now_s)` gives `decision` again."""

    schema_version: int = SCHEMA_VERSION
    id: str
    at_unix_ms: int
    kind: Literal["change", "near_miss"]
    """near_miss: instances find no room, or a node could go, and a rail kept it from that."""
    now_s: float
    """On the clock of the leader that decided."""
    config: NodeConfig
    seen: NodesSeen
    decision: NodeDecision
    gate: GateAnswer = GateAnswer()
    outcomes: tuple[NodeOutcome, ...] = ()
    """Of changes, after as many minutes as those of slices."""

    @property
    def summary(self) -> str:
        why = ", ".join(self.decision.because)
        if self.decision.add:
            return f"nodes: {self.decision.add} more ({why})"
        if self.decision.remove:
            return f"nodes: {self.decision.remove} goes ({why})"
        return f"nodes: none comes or goes ({why})"


def request_of(state: Reads, node: str) -> NodeRequest | None:
    item = state.get(keys.node_request(node))
    return _request(item.value) if item is not None else None


def requests(state: Snapshot) -> Iterator[tuple[KeyValue, NodeRequest]]:
    """What this version cannot read is left out."""
    for item in state.items(keys.NODE_REQUESTS):
        found = _request(item.value)
        if found is not None:
            yield item, found


def trouble_of(state: Reads) -> str:
    """Empty while nothing keeps nodes from coming or going."""
    item = state.get(keys.NODE_TROUBLE)
    try:
        return msgspec.json.decode(item.value, type=NodeTrouble).why if item is not None else ""
    except msgspec.DecodeError:
        return ""


def made_of(raw: bytes | None) -> int:
    try:
        return msgspec.json.decode(raw, type=NodeNumber).made if raw is not None else 0
    except msgspec.DecodeError:
        return 0


def _request(raw: bytes) -> NodeRequest | None:
    try:
        return msgspec.json.decode(raw, type=NodeRequest)
    except msgspec.DecodeError:
        return None
