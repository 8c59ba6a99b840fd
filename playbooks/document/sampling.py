"""A small cluster that was never there: expressions are tried on it, so that a misspelt member shows before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from playbooks.document.model import Param
from playbooks.document.parameters import sample
from playbooks.expressions.picture import Measured, Picture, Standing
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.operations.overlay import Overlay
from runtime.operations.plan import Json, KeyChange
from runtime.state import keys
from runtime.state.values import (
    Addresses,
    BlueprintSlice,
    Endpoint,
    InstanceAssignment,
    InstanceState,
    NodeLive,
    NodeRecord,
    Phase,
    SliceTarget,
    StoreBackup,
    Value,
    encode,
)

NODES: Final = ("n1", "n2", "n3")
SLICE: Final = "sample"
_NOWHERE: Final = Addresses(http="", api="", peer="", control="")
_SHA256: Final = Sha256("0" * 64)
_SLICE_FIGURES: Final = (
    *("calls", "errors", "rejected", "instances", "errors_share", "p50_ms", "p95_ms", "p99_ms", "instance_mb"),
    *("slo_burn_5m", "slo_burn_30m", "slo_burn_1h", "slo_burn_6h", "slo_burn_3d", "forecast_p95_vs_capacity"),
)
_NODE_FIGURES: Final = (
    *("memory_share", "disk_share"),
    "cpu_cores",
    "rss_mb",
    "loop_lag_ms",
    "gc_pause_ms",
    "connections",
    "requests_per_s",
)


def sample_params(declared: Mapping[str, Param]) -> dict[str, Json]:
    return {name: sample(param) for name, param in declared.items()}


def sample_picture(declared: Mapping[str, Param]) -> Picture:
    """With every node and slice that a default of a parameter names."""
    values = sample_params(declared)
    nodes = {str(values[name]) for name, param in declared.items() if param.type == "node"} | set(NODES)
    slices = {str(values[name]) for name, param in declared.items() if param.type == "slice"} | {SLICE}
    return _picture(tuple(sorted(nodes)), tuple(sorted(slices)))


@cache
def _picture(nodes: tuple[str, ...], slices: tuple[str, ...]) -> Picture:
    state = Overlay()
    state.take(KeyChange(key=key, before=None, after=encode(value)) for key, value in _records(nodes, slices))
    measured = Measured(
        at_unix_ms=1,
        window_s=10,
        slices={name: dict.fromkeys(_SLICE_FIGURES, 1.0) for name in slices},
        nodes={name: dict.fromkeys(_NODE_FIGURES, 1.0) for name in nodes},
    )
    return Picture(state, measured, Standing(leader=nodes[0], quorum=True))


def _records(nodes: tuple[str, ...], slices: tuple[str, ...]) -> Iterator[tuple[str, Value]]:
    for name in map(NodeId, nodes):
        yield keys.node(name), NodeRecord(node=name, role="core", addresses=_NOWHERE)
        yield keys.node_live(name), NodeLive(boot="b", started_unix_ms=0)
    for slice_name in map(SliceName, slices):
        yield from _records_of(slice_name, NodeId(nodes[0]))
    yield keys.store_backup(1), StoreBackup(number=1, state="kept", sha256="0" * 64, revision=1, at_unix_ms=1)


def _records_of(name: SliceName, node: NodeId) -> Iterator[tuple[str, Value]]:
    version = Version("1.0.0")
    settings = BlueprintSlice(slice=name, version=version, artifact=f"{name}==1.0.0", instances=1, min=1, max=2)
    target = SliceTarget(blueprint=BlueprintId("sample"), settings=settings, artifact_sha256=_SHA256, wanted=1)
    yield keys.target(name, version), target
    yield (
        keys.instance(node, name, 0),
        InstanceAssignment(
            slice=name, number=0, version=version, artifact_sha256=_SHA256, settings=settings, generation=1
        ),
    )
    yield (
        keys.instance_state(node, name, 0),
        InstanceState(
            slice=name,
            node=node,
            number=0,
            version=version,
            phase=Phase.ACTIVE,
            since_unix_ms=1,
            generation=1,
        ),
    )
    yield keys.endpoint(name, node, 0), Endpoint(slice=name, version=version, node=node, number=0)
