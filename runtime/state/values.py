"""The values behind the keys: frozen structs, JSON in the store so that people can read them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, TypeVar

import msgspec

from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.sdk.contract import SliceContract


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values. Unknown members are ignored, so that an older node can read a newer record."""


ValueT = TypeVar("ValueT", bound=Value)


class Addresses(Value, frozen=True, kw_only=True):
    """`host:port` of everything a node listens on. `store` is empty on worker nodes."""

    http: str
    api: str
    peer: str
    control: str
    store: str = ""


class ClusterRecord(Value, frozen=True, kw_only=True):
    cluster_id: str
    created_unix_ms: int
    admin_key_sha256: str = ""  # of the key in the first node's admin.key; the key itself is never kept here


class NodeRecord(Value, frozen=True, kw_only=True):
    node: NodeId
    role: Literal["core", "worker"]
    zone: str = "default"
    addresses: Addresses
    cordoned: bool = False  # takes no new instances
    shutdown: bool = False  # ends once its instances are gone; cleared by the next start
    leaving: bool = False  # its instances are moved away; set by a graceful stop, cleared by the next start


class NodeLive(Value, frozen=True, kw_only=True):
    """Present while the node's lease lives. `boot` differs with every start of the node's control."""

    boot: str
    started_unix_ms: int
    cpu_count: int = 1
    memory_bytes: int = 0


class Isolation(StrEnum):
    WORKER = "worker"
    INLINE = "inline"


class Placement(Value, frozen=True, kw_only=True):
    """`spread` over "node" or "zone" wants copies as far apart as there is room; `zones` empty means any."""

    spread: Literal["node", "zone"] = "node"
    zones: tuple[str, ...] = ()
    roles: tuple[Literal["core", "worker"], ...] = ("core", "worker")


class BlueprintSlice(Value, frozen=True, kw_only=True):
    slice: SliceName
    version: Version
    artifact: str  # "name==version"
    instances: int
    min: int
    max: int
    min_available: int = 1
    requires: tuple[SliceName, ...] = ()
    optional: tuple[SliceName, ...] = ()
    placement: Placement = Placement()
    isolation: Isolation = Isolation.WORKER
    memory_mb_max: int = 512
    start_timeout_ms: int = 5_000
    stop_timeout_ms: int = 5_000
    weight: int = 100  # share of calls among this slice's versions
    config: dict[str, str | int | float | bool] = {}


class BlueprintRecord(Value, frozen=True, kw_only=True):
    blueprint: BlueprintId
    source: str  # the TOML as written
    slices: tuple[BlueprintSlice, ...]


class SliceTarget(Value, frozen=True, kw_only=True):
    """Wanted instances of one slice version; the blueprint's settings as they were when it was applied."""

    blueprint: BlueprintId
    settings: BlueprintSlice
    artifact_sha256: Sha256
    wanted: int
    restarts: int = 0  # how often its instances were asked to start anew


class InstanceAssignment(Value, frozen=True, kw_only=True):
    """What the leader hands to a node. `generation` grows with each change; a node refuses older ones."""

    slice: SliceName
    number: int  # unique per node and slice while the key exists; the wire addresses it by this
    version: Version
    artifact_sha256: Sha256
    settings: BlueprintSlice
    generation: int
    wanted: Literal["active", "stopped"] = "active"
    restarts: int = 0  # of its target, when this was written
    kills: int = 0  # how often this very instance was asked to start anew


class Phase(StrEnum):
    LOADING = "loading"
    LOADED = "loaded"
    ACTIVATING = "activating"
    ACTIVE = "active"
    DEACTIVATING = "deactivating"
    UNLOADING = "unloading"
    FAILED = "failed"


class InstanceState(Value, frozen=True, kw_only=True):
    """Where an instance stands. `reason` says in a sentence why it failed or waits; empty when all is well.

    `last_failure` stays when it runs again: why it last failed, empty if it never did.
    """

    slice: SliceName
    node: NodeId
    number: int
    version: Version
    phase: Phase
    reason: str = ""
    since_unix_ms: int
    generation: int
    restarts: int = 0
    worker: str = ""  # worker process id on that node; "inline" in the gateway
    last_failure: str = ""


class Endpoint(Value, frozen=True, kw_only=True):
    """An ACTIVE instance that takes calls. Its methods and routes are those of its version's contract."""

    slice: SliceName
    version: Version
    node: NodeId
    number: int
    weight: int = 100


class ArtifactRecord(Value, frozen=True, kw_only=True):
    name: str
    version: str
    sha256: Sha256
    size_bytes: int
    slices: tuple[SliceContract, ...]
    pins: tuple[str, ...] = ()  # "name==version --hash=sha256:…", empty for the node's own environment
    uploaded_unix_ms: int


class ContentCopy(Value, frozen=True, kw_only=True):
    size_bytes: int


class JoinToken(Value, frozen=True, kw_only=True):
    """A token that was used. Its secret is derived from the CA's key, so nothing here lets anybody join."""

    uses_left: int


class JoinGrant(Value, frozen=True, kw_only=True):
    """A node was admitted: the SHA-256 of its signing request, so that it may ask again when the answer was lost."""

    node: NodeId
    request_sha256: Sha256


class AlertThreshold(Value, frozen=True, kw_only=True):
    """An alert begins when the metric was above `bound` for `for_s` seconds, and ends when it was not for as long."""

    bound: float
    for_s: int


class AlertRecord(Value, frozen=True, kw_only=True):
    """An alert that lasts. `value` is what it was when the alert began."""

    since_unix_ms: int
    value: float
    bound: float
    for_s: int


class StoreBackup(Value, frozen=True, kw_only=True):
    """A snapshot of the store that was asked for. `revision` is in it; `reason` says why it failed."""

    number: int
    state: Literal["wanted", "kept", "failed"] = "wanted"
    sha256: str = ""
    size_bytes: int = 0
    revision: int = 0
    at_unix_ms: int = 0
    reason: str = ""


class StoreMembers(Value, frozen=True, kw_only=True):
    """Who belongs to the store's group, as the store said last; a learner receives the log and has no vote."""

    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    addresses: dict[str, str] = {}
    """Where each one's store listens."""


class StoreMemberWish(Value, frozen=True, kw_only=True):
    """What a node shall be in the store's group. `trouble`: why it is not yet, in the store's words."""

    node: str
    want: Literal["voter", "none"]
    address: str = ""
    trouble: str = ""


NODE_LEASE_MS: Final = 3_000  # three keep-alives of one second; a dead node is seen within this


def encode(value: Value) -> bytes:
    return msgspec.json.encode(value)


def decode(raw: bytes, kind: type[ValueT]) -> ValueT:
    """Raises msgspec.ValidationError, naming the member, if the bytes are not such a value."""
    return msgspec.json.decode(raw, type=kind)
