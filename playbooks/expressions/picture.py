"""What expressions see: the state at one revision, and what was measured in one stamped window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from runtime.config.settings import declared, is_secret
from runtime.deployment.records import Records, Snapshot
from runtime.operations.plan import Json
from runtime.operations.secrecy import HIDDEN
from runtime.state import keys
from runtime.state.values import InstanceState, NodeRecord, Phase, SliceTarget
from runtime.telemetry.alerts import kept

CLUSTER_SCOPE: Final = "cluster"
Variables = dict[str, Json]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One window: when it ended and how long it was; figures by slice and by node. What is not known is left out."""

    at_unix_ms: int
    window_s: int
    slices: dict[str, dict[str, Json]] = {}
    nodes: dict[str, dict[str, Json]] = {}


class Measures(Protocol):
    def measured(self) -> Measured:
        """As of the last seconds."""
        ...


class NoMeasures:
    """Where nothing is measured: in a rehearsal of expressions, and without a cluster."""

    def measured(self) -> Measured:
        return Measured(at_unix_ms=0, window_s=0)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the state's records do not say: who leads, and whether they are current."""

    leader: str
    quorum: bool


class Picture:
    """Of one revision. Variables are made when an expression asks for them."""

    def __init__(self, state: Snapshot, measured: Measured, standing: Standing) -> None:
        self.revision = int(state.revision)
        self.measured = measured
        self._state = state
        self._records = Records(state)
        self._standing = standing
        self._made: Variables = {}
        self._makers: dict[str, Callable[[], Json]] = {
            "cluster": self._cluster,
            "config": lambda: self._config(CLUSTER_SCOPE),
            "nodes": self._nodes,
            "slices": self._slices,
            "instances": self._instances,
            "alerts": self._alerts,
            "backups": lambda: self._plain(keys.STORE_BACKUPS),
            "metrics": self._metrics,
        }

    def variables(self, names: set[str], more: Mapping[str, Json]) -> Variables:
        """Those of that name; `more` are parameters and what steps have come to."""
        for name in names & self._makers.keys() - self._made.keys():
            self._made[name] = self._makers[name]()
        return {**{name: self._made[name] for name in names & self._made.keys()}, **more}

    def _cluster(self) -> Json:
        nodes, live = self._records.nodes(), {each.node for each in self._records.live_nodes()}
        core = [each for each in nodes if each.role == "core"]
        members = self._records.store_members()
        rows = [self._slice(each) for each in self._records.targets()]
        short = [row for row in rows if int(str(row["ready"])) < int(str(row["wanted"]))]
        return {
            "revision": self.revision,
            "leader": self._standing.leader,
            "quorum": self._standing.quorum,
            "nodes": len(nodes),
            "nodes_up": len(live),
            "voters": list(members.voters if members is not None else [each.node for each in core]),
            "cores": len(core),
            "cores_up": sum(each.node in live for each in core),
            "slices_short": len(short),
            "healthy": self._standing.quorum and not short and all(each.node in live for each in nodes),
            "frozen": self._state.get(f"{keys.FREEZES}cluster") is not None,
        }

    def _nodes(self) -> Json:
        live = {each.node for each in self._records.live_nodes()}
        serving = Counter(each.node for each in self._records.endpoints())
        return [self._node(each, up=each.node in live, serving=serving[each.node]) for each in self._records.nodes()]

    def _node(self, node: NodeRecord, *, up: bool, serving: int) -> Json:
        return {
            "name": node.node,
            "role": node.role,
            "zone": node.zone,
            "up": up,
            "state": "leaving" if node.leaving else "up" if up else "down",
            "cordoned": node.cordoned,
            "leaving": node.leaving,
            "shutdown": node.shutdown,
            "instances": len(self._records.assignments(node.node)),
            "serving": serving,
            "config": self._config(f"node:{node.node}"),
        }

    def _slices(self) -> Json:
        return [self._slice(each) for each in self._records.targets()]

    def _slice(self, target: SliceTarget) -> dict[str, Json]:
        settings = target.settings
        which = (settings.slice, settings.version)
        mine = [each for each in self._records.instance_states() if (each.slice, each.version) == which]
        ready = sum((each.slice, each.version) == which for each in self._records.endpoints())
        return {
            "name": settings.slice,
            "version": settings.version,
            "blueprint": target.blueprint,
            "wanted": target.wanted,
            "ready": ready,
            "failed": sum(each.phase is Phase.FAILED for each in mine),
            "starting": sum(each.phase in _STARTING for each in mine),
            "min": settings.min,
            "max": settings.max,
            "min_available": settings.min_available,
            "weight": settings.weight,
            "restarts": target.restarts,
        }

    def _instances(self) -> Json:
        serving = {(each.node, each.slice, each.number) for each in self._records.endpoints()}
        states = {(each.node, each.slice, each.number): each for each in self._records.instance_states()}
        rows: list[Json] = []
        for placed in self._records.placed():
            assignment = placed.assignment
            which = (placed.node, assignment.slice, assignment.number)
            rows.append(
                {
                    "node": placed.node,
                    "slice": assignment.slice,
                    "number": assignment.number,
                    "version": assignment.version,
                    "serving": which in serving,
                    **_reported(states.get(which)),
                }
            )
        return rows

    def _config(self, scope: str) -> Json:
        """As the state says it; of the cluster also defaults. Secrets are hidden: what is seen is recorded."""
        prefix = f"{keys.CONFIG}{scope}/"
        stored = {keys.parts(item.key)[-1]: _decoded(item.value) for item in self._state.items(prefix)}
        defaults: dict[str, Json] = {}
        if scope == CLUSTER_SCOPE:
            defaults = {each.name: _decoded(msgspec.json.encode(each.default)) for each in declared()}
        return {name: HIDDEN if is_secret(name) else value for name, value in {**defaults, **stored}.items()}

    def _plain(self, prefix: str) -> Json:
        """Records of a kind as they are, each with the rest of its key."""
        rows: list[Json] = []
        for item in self._state.items(prefix):
            value = _decoded(item.value)
            rows.append({"key": item.key.removeprefix(prefix), **(value if isinstance(value, dict) else {})})
        return rows

    def _alerts(self) -> Json:
        """Those that last; ended ones are kept for a while."""
        return [msgspec.to_builtins(each.alert) for each in kept.alerts(self._state) if each.alert.lasts]

    def _metrics(self) -> Json:
        found = self.measured
        return {
            "at_unix_ms": found.at_unix_ms,
            "window_s": found.window_s,
            "slices": found.slices,
            "nodes": found.nodes,
        }


_STARTING: Final = (Phase.LOADING, Phase.LOADED, Phase.ACTIVATING)


def _reported(state: InstanceState | None) -> dict[str, Json]:
    if state is None:
        return {"phase": "assigned", "reason": "", "restarts": 0, "since_unix_ms": 0, "last_failure": ""}
    return {
        "phase": state.phase.value,
        "reason": state.reason,
        "restarts": state.restarts,
        "since_unix_ms": state.since_unix_ms,
        "last_failure": state.last_failure,
    }


def _decoded(raw: bytes) -> Json:
    try:
        found: Json = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw.decode("utf-8", "replace")
    return found
