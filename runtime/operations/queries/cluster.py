"""What can be asked about the cluster as a whole."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from runtime.operations.operation import Request, Result
from runtime.operations.queries.nodes import NodeRow
from runtime.operations.queries.page import Row, read
from runtime.operations.queries.slices import SliceRow


class StatusRequest(Request, frozen=True, kw_only=True):
    pass


class NodeLoad(Row, frozen=True, kw_only=True):
    """One node in the last second; lag and pause are the worst of its processes."""

    node: str
    cpu_cores: float
    rss_mb: float
    loop_lag_ms: float
    gc_pause_ms: float
    connections: int
    requests_per_s: float
    memory_share: Annotated[float | None, Meta(description="Of the machine's memory, in use.")] = None
    disk_share: Annotated[float | None, Meta(description="Of the disk with the node's data, in use.")] = None
    silent: Annotated[tuple[str, ...], Meta(description="Its processes that run and answer nothing.")] = ()


class SliceLoad(Row, frozen=True, kw_only=True, omit_defaults=True):
    """One slice in the last second."""

    slice: str
    calls: float
    errors: float
    rejected: float
    instances: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    instance_mb: Annotated[float | None, Meta(description="Memory of an instance.")] = None


class Load(Row, frozen=True, kw_only=True):
    requests_per_s: float
    nodes: tuple[NodeLoad, ...]
    slices: tuple[SliceLoad, ...]


class ClusterStatus(Result, frozen=True, kw_only=True):
    """At most 1,000 nodes and slices each; the lists of these tell all."""

    node: Annotated[str, Meta(description="Which node answers.")]
    leader: Annotated[str, Meta(description="Empty while nobody leads.")]
    nodes: tuple[NodeRow, ...]
    slices: tuple[SliceRow, ...]
    blueprints: tuple[str, ...]
    load: Load


class TopologyRequest(Request, frozen=True, kw_only=True):
    pass


class PlacedInstance(Row, frozen=True, kw_only=True):
    number: int
    phase: str
    serving: bool
    reason: str = ""


class PlacedSlice(Row, frozen=True, kw_only=True):
    slice: str
    version: str
    instances: tuple[PlacedInstance, ...]


class PlacedNode(Row, frozen=True, kw_only=True):
    node: str
    role: str
    state: str
    cordoned: bool
    slices: tuple[PlacedSlice, ...]


class Zone(Row, frozen=True, kw_only=True):
    zone: str
    nodes: tuple[PlacedNode, ...]


class Edge(Row, frozen=True, kw_only=True):
    """`slice` calls `requires`. `met` is whether that serves now; an optional one may be missing."""

    slice: str
    requires: str
    optional: bool
    met: bool


class Blocked(Row, frozen=True, kw_only=True):
    """A slice with fewer serving instances than wanted, and why."""

    slice: str
    version: str
    wanted: int
    serving: int
    why: tuple[str, ...]


class Topology(Result, frozen=True, kw_only=True):
    zones: tuple[Zone, ...]
    edges: tuple[Edge, ...]
    blocked: tuple[Blocked, ...]


QUERIES: Final = (
    read(
        "cluster.status", "Nodes, slices, and the load of the last second.", StatusRequest, ClusterStatus, "/v1/status"
    ),
    read(
        "topology.show",
        "Zones, nodes, slices and instances; which slice requires which, and what is blocked.",
        TopologyRequest,
        Topology,
        "/v1/topology",
    ),
)
