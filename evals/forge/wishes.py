"""What is asked of a Forge by the cluster in it, and what it tells: light to import, as every node's control does."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from evals.forge.load.profile import RPS_MAX
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Refused
from runtime.operations.plan import Json

LOAD: Final = "forge.load"


class LoadWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shape: Literal["constant", "ramp", "spike"] = "constant"
    rps: Annotated[float, Meta(ge=0, le=RPS_MAX, description="Requests a second at most; 0 ends the load.")]


class ChaosWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    operation: Annotated[str, Meta(max_length=40, description="One of those that the Forge has, as chaos.kill.")]
    request: dict[str, Json] = {}


def refusal_of(actor: Actor) -> Refused | None:
    """Whoever started the Forge may break it and send load, and no agent may."""
    if not actor.acts_as_agent:
        return None
    return Refused(
        code="refused_by_policy",
        detail="no agent breaks what others test, or sends load there",
        remedy="A person with the role admin may.",
    )


class ForgeNodeRow(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    state: Annotated[str, Meta(description="running, paused, joining or down, as the Forge sees its processes.")]
    leads: bool
    active: Annotated[int, Meta(description="Instances that serve.")]
    rps: Annotated[float, Meta(description="Requests a second that the load sends there.")]


class LoadRow(msgspec.Struct, frozen=True, kw_only=True):
    shape: Annotated[str, Meta(description="Empty where nothing is sent.")] = ""
    rps_wanted: float = 0.0
    rps: float = 0.0
    p99_ms: float = 0.0
    sent: int = 0
    failed: int = 0


class ForgeStatus(msgspec.Struct, frozen=True, kw_only=True):
    nodes: tuple[ForgeNodeRow, ...]
    load: LoadRow
    partitions: Annotated[bool, Meta(description="A proxy stands between the nodes, so that links can be cut.")]
