"""What changes answer once they are made: members with their units, as schemas and documents show them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from runtime.operations.operation import Result

Wanted = Annotated[int, Meta(ge=0, description="Instances wanted from now on.")]


class SliceScaled(Result, frozen=True, kw_only=True):
    slice: str
    version: str
    before: Annotated[int, Meta(ge=0, description="Instances wanted until now.")]
    wanted: Wanted


class SliceRestarted(Result, frozen=True, kw_only=True):
    slice: str
    version: str
    restarts: Annotated[int, Meta(ge=1, description="How often the slice was asked to start anew.")]


class BoundsSet(Result, frozen=True, kw_only=True):
    slice: str
    version: str
    min: int
    max: int
    wanted: Wanted


class WeightsSet(Result, frozen=True, kw_only=True):
    slice: str
    weights: Annotated[dict[str, int], Meta(description="Shares of calls by version, as parts of their sum.")]


class NodeMarked(Result, frozen=True, kw_only=True):
    """Only the marks that were set or taken off."""

    node: str
    cordoned: bool | None = None
    leaving: bool | None = None
    shutdown: bool | None = None


class NodeForgotten(Result, frozen=True, kw_only=True):
    node: str
    forgotten: bool


class InstanceKilled(Result, frozen=True, kw_only=True):
    node: str
    slice: str
    number: int
    generation: Annotated[int, Meta(ge=1, description="Of its assignment: grows with each change of it.")]


class BlueprintApplied(Result, frozen=True, kw_only=True):
    blueprint: str
    slices: tuple[str, ...]
    routes: Annotated[tuple[str, ...], Meta(description="Method and path of each route that it brings.")]


class BlueprintDeleted(Result, frozen=True, kw_only=True):
    blueprint: str
    deleted: bool


class SettingSet(Result, frozen=True, kw_only=True):
    name: str
    value: str | int | float | bool | list[str]
    node: Annotated[str, Meta(description="The one node that it is for; empty for all.")]
    slice: Annotated[str, Meta(description="The one slice that it is for; empty for all.")] = ""
    applies: Annotated[str, Meta(description="When it takes effect.")]


class SettingUnset(Result, frozen=True, kw_only=True):
    name: str
    node: Annotated[str, Meta(description="The one node that it is for; empty for all.")]
    slice: Annotated[str, Meta(description="The one slice that it is for; empty for all.")] = ""
    applies: Annotated[str, Meta(description="When it takes effect.")]


class ThresholdSet(Result, frozen=True, kw_only=True):
    slice: str
    metric: str
    bound: Annotated[float, Meta(description="In the metric's unit.")]
    for_s: Annotated[int, Meta(description="Seconds beyond the bound before the alert begins.")]


class ThresholdCleared(Result, frozen=True, kw_only=True):
    slice: str
    metric: str


class PrincipalSet(Result, frozen=True, kw_only=True):
    id: str
    role: str
    disabled: bool


class PrincipalRemoved(Result, frozen=True, kw_only=True):
    id: str
    keys: Annotated[int, Meta(ge=0, description="Keys that ended with it.")]


class KeyCreated(Result, frozen=True, kw_only=True):
    id: str
    principal: str
    name: str
    expires_unix_ms: int
    key: Annotated[str, Meta(description="Shown this once; empty in a dry run and in a repeated answer.")] = ""


class KeyRevoked(Result, frozen=True, kw_only=True):
    id: str
    principal: str
    name: str


class SnapshotWanted(Result, frozen=True, kw_only=True):
    number: Annotated[int, Meta(ge=1, description="Of the snapshot, as `snapshot.list` shows it.")]


class StoreMemberWanted(Result, frozen=True, kw_only=True):
    node: str
    want: Annotated[str, Meta(description="voter or none; the leader sees to it, as store.member-list shows.")]


class PolicySet(Result, frozen=True, kw_only=True):
    version: Annotated[int, Meta(ge=1, description="That the policy gives itself.")]


class PhraseTaught(Result, frozen=True, kw_only=True):
    id: str
    sentence: str
    operation: str


class SubjectMarked(Result, frozen=True, kw_only=True):
    subject: str
    why: str


class SubjectUnmarked(Result, frozen=True, kw_only=True):
    subject: str


class ArtifactKept(Result, frozen=True, kw_only=True):
    name: str
    version: str
    sha256: str
    slices: Annotated[tuple[str, ...], Meta(description="Name and version of each slice in it.")]


class ArtifactDeleted(Result, frozen=True, kw_only=True):
    name: str
    version: str
    deleted: bool
