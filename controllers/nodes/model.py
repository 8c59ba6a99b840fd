"""What the node level decides with, and what it decides: plain values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

WAIT_S_MAX: Final = 7 * 24 * 3_600
NODES_MAX: Final = 200

WaitField = Annotated[int, Meta(ge=0, le=WAIT_S_MAX)]
NodesField = Annotated[int, Meta(ge=0, le=NODES_MAX)]


class NodePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the nodes that a provider makes; those that people started are never taken away."""

    act: bool = False
    """Whether nodes come and go at once; otherwise each change is a proposal, since nodes cost money."""
    least: NodesField = 0
    """Provided nodes below which none goes."""
    most: NodesField = 4
    """Provided nodes above which none comes."""
    step: Annotated[int, Meta(ge=1, le=10)] = 2
    """Most nodes that are asked for at once."""
    out_after_s: WaitField = 60
    """For how long instances must have found no room."""
    in_after_s: WaitField = 1_800
    """For how long everything must have fitted on fewer nodes."""
    headroom: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.25
    """Room that must stay free on those fewer, as a part of the wanted instances."""
    cool_down_out_s: WaitField = 120
    """Between a change of the nodes and the next that adds some."""
    cool_down_in_s: WaitField = 1_800
    """Between a change of the nodes and the next that takes one away."""
    ask_again_s: WaitField = 1_800
    """After people let a proposal about nodes lapse, or said no."""


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A live node. `instances` are those placed on it."""

    node: str
    core: bool
    provided: bool = False
    """A provider made it for the cluster, and it is not on its way out."""
    takes: bool = True
    """New instances may be placed on it: neither cordoned nor leaving."""
    instances: int = 0
    needed: bool = False
    """Without it an instance would find no node, as placement rules are."""
    disturbed: bool = False
    """A slice on it must not be moved now: too few serve, it is deployed, or an incident is open."""


class NodesSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster's nodes as of one moment. Times are seconds; None is not known, or never."""

    nodes: tuple[NodeSeen, ...]
    wanted: int
    """Instances of all slices."""
    missing: int = 0
    """Instances that are wanted, or would be, and find no room."""
    slots: int | None = None
    """Instances that one node takes; None is without limit."""
    provider: bool = True
    provided: int = 0
    """Nodes that a provider made or shall make, without those on their way out."""
    coming: int = 0
    """Those of them that have not joined yet."""
    leaving: int = 0
    """Provided nodes on their way out."""
    down: int = 0
    """Nodes of the cluster that do not live, and were not asked to go."""
    waiting: str = ""
    """The proposal about nodes that waits for people."""
    frozen: str = ""
    incident: str = ""
    since_change_s: float | None = None
    """Since nodes were last added or taken away."""
    since_refused_s: float | None = None
    """Since people last turned such a change down, or let it lapse."""
    short_since_s: float | None = None
    """The `short_since_s` of the decision before this one; the same of the next."""
    roomy_since_s: float | None = None


class NodeBecause(StrEnum):
    NO_ROOM = "no_room"
    ENOUGH = "enough"
    ROOM_TO_SPARE = "room_to_spare"
    NOT_YET = "not_yet"
    NO_PROVIDER = "no_provider"
    COMING = "coming"
    LEAVING = "leaving"
    PROPOSED = "proposed"
    TURNED_DOWN = "turned_down"
    COOL_DOWN = "cool_down"
    STEP = "step"
    BOUNDS = "bounds"
    FROZEN = "frozen"
    INCIDENT = "incident"
    NODE_DOWN = "node_down"


QUIET: Final = frozenset(
    {
        NodeBecause.NOT_YET,
        NodeBecause.COMING,
        NodeBecause.LEAVING,
        NodeBecause.PROPOSED,
        NodeBecause.COOL_DOWN,
        NodeBecause.ENOUGH,
    }
)
"""Reasons to wait that pass by themselves, or that a record tells of already."""


class NodeDecision(msgspec.Struct, frozen=True, kw_only=True):
    """So many nodes more, or that one less, and never both. `asked` are those that would make room, before any rail."""

    add: int = 0
    remove: str = ""
    asked: int = 0
    because: tuple[NodeBecause, ...]
    short_since_s: float | None = None
    """Since when instances find no room: for the next observation."""
    roomy_since_s: float | None = None

    @property
    def is_change(self) -> bool:
        return bool(self.add or self.remove)

    @property
    def is_near_miss(self) -> bool:
        """A rail keeps nodes from coming or going. That the fewest stay that shall stay is none."""
        kept = self.because[0] is NodeBecause.ROOM_TO_SPARE and NodeBecause.BOUNDS in self.because
        return not self.is_change and not kept and not QUIET & set(self.because)
