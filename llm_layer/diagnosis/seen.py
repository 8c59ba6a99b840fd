"""What a diagnosis is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from llm_layer.diagnosis.figures import Figures
from runtime.operations.queries.alerts import AlertRow
from runtime.operations.queries.cluster import ClusterStatus, Topology
from runtime.operations.queries.page import Series
from runtime.operations.queries.slices import InstanceRow, SliceExplained, SliceRow


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One hop of a call, as far as a diagnosis looks at it."""

    at_ms: int
    name: str
    node: str
    process: str
    duration_us: int
    failed: bool
    detail: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a log. `text` is all of it."""

    text: str
    instance: str = ""
    at_ms: int = 0

    def is_of(self, slice_name: str) -> bool:
        return self.instance.split("/", 1)[0] == slice_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`slice` is who was asked about, empty for the whole cluster; `figures` are of it and what it stands on, or of
    all, `by_node` the same of the last minute on each node; `explained` of those looked at closely. `evidence` says by
    which id each source can be named, `gaps` what could not be looked at. `failed` are hops of failed calls, `hops`
    those of slices looked at closely, `instances` all of theirs. `pins`: what people hold a slice at; `silent`: nodes
    that answered none of several questions."""

    slice: str
    now_unix_ms: int
    explained: Mapping[str, SliceExplained] = field(default_factory=dict)
    status: ClusterStatus | None = None
    topology: Topology | None = None
    figures: Mapping[str, Figures] = field(default_factory=dict)
    by_node: Mapping[str, Mapping[str, Series]] = field(default_factory=dict)
    alerts: tuple[AlertRow, ...] = ()
    lines: tuple[Line, ...] = ()
    failed: tuple[Span, ...] = ()
    hops: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    instances: Mapping[str, tuple[InstanceRow, ...]] = field(default_factory=dict)
    pins: Mapping[str, int] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    evidence: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()

    def stands_on(self, name: str, *, at_all_costs: bool = False) -> list[str]:
        """What a slice calls; at_all_costs: only what it cannot do without."""
        edges = self.topology.edges if self.topology is not None else ()
        return [each.requires for each in edges if each.slice == name and not (at_all_costs and each.optional)]

    def behind(self, name: str) -> list[str]:
        """Everything that it stands on, the nearest first."""
        found = [name]
        for each in found:
            found += [needed for needed in self.stands_on(each) if needed not in found]
        return found[1:]

    def versions(self, name: str) -> tuple[SliceRow, ...]:
        explained = self.explained.get(name)
        if explained is not None:
            return explained.versions
        rows = self.status.slices if self.status is not None else ()
        return tuple(each for each in rows if each.slice == name)

    def candidates(self) -> list[str]:
        """Slices whose trouble may be told."""
        if self.slice:
            return [self.slice, *self.behind(self.slice)]
        return sorted({each.slice for each in self.status.slices}) if self.status is not None else []

    def hosts(self, name: str) -> set[str]:
        """Nodes that have instances of it."""
        zones = self.topology.zones if self.topology is not None else ()
        nodes = (node for zone in zones for node in zone.nodes)
        return {node.node for node in nodes for placed in node.slices if placed.slice == name}

    def cited(self, *sources: str) -> tuple[str, ...]:
        return tuple(self.evidence[each] for each in sources if each in self.evidence)

    def lines_of(self, name: str, since_ms: int = 0) -> Iterator[str]:
        """Those of unknown age too."""
        return (each.text for each in self.lines if each.is_of(name) and not 0 < each.at_ms < since_ms)
