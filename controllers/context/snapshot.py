"""What a controller decides from, as of one second: plain values and the signals that go with them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from controllers.scaling.capacity import Capacity
from controllers.scaling.signals import LoadSignals
from runtime.telemetry.facts import Fact
from runtime.telemetry.figures import SliceFigures


class NodeContext(msgspec.Struct, frozen=True, kw_only=True):
    """One live node: what it has, and what is used of it. None is not known now."""

    node: str
    role: str
    zone: str
    takes_instances: bool
    """Neither cordoned nor about to leave."""
    cpu_count: int
    memory_bytes: int
    cpu_cores: float | None = None
    rss_bytes: int | None = None
    loop_lag_ms: float | None = None
    memory_share: float | None = None
    """Of the machine's memory, 0 to 1: used by whatever runs there."""
    busy_share: float | None = None
    """Of the machine's CPU, 0 to 1: used by the node's own processes, smoothed over half a minute."""
    instances: int = 0


class VersionContext(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of one version of a slice, and how far that is."""

    version: str
    blueprint: str
    wanted: int
    least: int
    most: int
    min_available: int
    serving: int
    starting: int
    """Assigned to a node and not serving yet."""
    is_settled: bool
    """As many serve as are wanted, and all as their assignment says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceContext:
    """One slice as of one second. None is not known, or too old to be used.

    `version` is the one that most instances are wanted of, and what `capacity` is of. `signals` are the live ones: read
    them, and do not keep them.
    """

    slice: str
    version: str
    versions: tuple[VersionContext, ...]
    is_deploying: bool
    """Another version of it is on its way, or some instances start anew."""
    serving: int
    starting: int
    rate: float | None
    signals: LoadSignals
    latency_p95_ms: float | None
    waiting: float
    """Calls that found no instance with room: those that wait, and those turned away in the last second, be it
    by instances or by gateways; a gateway that gives up has often asked an instance, so that they are not added up."""
    idle_s: float
    budget: int
    """Instances that may stop serving before `min_available` is reached."""
    capacity: Capacity
    figures: SliceFigures | None
    """All of the newest second that can be believed."""
    day_ago_ratio: float | None
    """How the rate went on in these minutes a day ago."""
    missing: str
    """Why nothing is known; empty while it is."""
    nodes: tuple[NodeContext, ...] = ()
    """All of the cluster."""
    doubted: str = ""
    """Why the figures of the newest second are not believed, also where those before it are new enough."""

    @property
    def instance_bytes(self) -> float | None:
        """Of memory that one of its instances takes now, on average; those on one node share a process."""
        figures = self.figures
        known = figures is not None and figures.instances > 0 and figures.rss_bytes > 0
        return figures.rss_bytes / figures.instances if figures is not None and known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSnapshot:
    """`events` are the newest, oldest first. `silent` nodes live and tell no figures."""

    at_s: int
    revision: int
    slices: dict[str, SliceContext]
    nodes: tuple[NodeContext, ...]
    silent: tuple[str, ...]
    events: tuple[Fact, ...]
