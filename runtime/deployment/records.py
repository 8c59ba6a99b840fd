"""The state's records as typed values, read from any picture of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from runtime.consensus.store import KeyValue, Revision
from runtime.deployment.placement import Placed
from runtime.names import BlueprintId, NodeId, SliceName, Version
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import (
    ArtifactRecord,
    BlueprintRecord,
    Endpoint,
    InstanceAssignment,
    InstanceState,
    NodeLive,
    NodeRecord,
    SliceTarget,
    StoreMembers,
    StoreMemberWish,
    ValueT,
    decode,
)


class Snapshot(Protocol):
    """What is read from: a StoreCache, or what a test holds in memory."""

    @property
    def revision(self) -> Revision: ...

    def get(self, key: str) -> KeyValue | None: ...

    def items(self, prefix: str) -> list[KeyValue]: ...


class Records:
    """Reads without awaiting. Decoded values are kept while their key is unchanged."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._decoded: dict[str, tuple[int, object]] = {}

    def nodes(self) -> tuple[NodeRecord, ...]:
        return tuple(value for _, value in self._values(keys.NODES, NodeRecord))

    def live_nodes(self) -> tuple[NodeRecord, ...]:
        live = {keys.parts(item.key)[0] for item in self._snapshot.items(keys.NODES_LIVE)}
        return tuple(record for record in self.nodes() if record.node in live)

    def machines(self) -> dict[NodeId, NodeLive]:
        """What the live nodes have, by node."""
        return {NodeId(keys.parts(key)[0]): value for key, value in self._values(keys.NODES_LIVE, NodeLive)}

    def node(self, name: str) -> NodeRecord | None:
        return self._value(keys.node(NodeId(name)), NodeRecord)

    def store_members(self) -> StoreMembers | None:
        """As the store said last; None until a leader has written it down."""
        return self._value(keys.STORE_MEMBERS, StoreMembers)

    def store_member_wish(self, name: str) -> StoreMemberWish | None:
        return self._value(keys.store_member_wish(name), StoreMemberWish)

    def store_member_wishes(self) -> tuple[StoreMemberWish, ...]:
        return tuple(value for _, value in self._values(keys.STORE_MEMBER_WISHES, StoreMemberWish))

    def blueprints(self) -> tuple[BlueprintRecord, ...]:
        return tuple(value for _, value in self._values(keys.BLUEPRINTS, BlueprintRecord))

    def targets(self) -> tuple[SliceTarget, ...]:
        return tuple(value for _, value in self._values(keys.TARGETS, SliceTarget))

    def targets_of(self, slice_name: str) -> tuple[SliceTarget, ...]:
        """One for each version that is deployed."""
        return tuple(value for _, value in self._values(f"{keys.TARGETS}{slice_name}/", SliceTarget))

    def target(self, slice_name: SliceName, version: Version) -> SliceTarget | None:
        return self._value(keys.target(slice_name, version), SliceTarget)

    def blueprint(self, name: BlueprintId) -> BlueprintRecord | None:
        return self._value(keys.blueprint(name), BlueprintRecord)

    def artifact(self, name: str, version: str) -> ArtifactRecord | None:
        return self._value(keys.artifact(name, version), ArtifactRecord)

    def assignment(self, node: NodeId, slice_name: SliceName, number: int) -> InstanceAssignment | None:
        return self._value(keys.instance(node, slice_name, number), InstanceAssignment)

    def endpoints_of(self, slice_name: str) -> tuple[Endpoint, ...]:
        return tuple(value for _, value in self._values(f"{keys.ENDPOINTS}{slice_name}/", Endpoint))

    def artifacts(self) -> tuple[ArtifactRecord, ...]:
        return tuple(value for _, value in self._values(keys.ARTIFACTS, ArtifactRecord))

    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(value for _, value in self._values(keys.ENDPOINTS, Endpoint))

    def instance_states(self) -> tuple[InstanceState, ...]:
        return tuple(value for _, value in self._values(keys.INSTANCE_STATES, InstanceState))

    def assignments(self, node: NodeId) -> dict[tuple[str, int], InstanceAssignment]:
        found = self._values(f"{keys.INSTANCES}{node}/", InstanceAssignment)
        return {(value.slice, value.number): value for _, value in found}

    def placed(self) -> tuple[Placed, ...]:
        serving = {(each.node, each.slice, each.number) for each in self.endpoints()}
        reached = {(each.node, each.slice, each.number): each.generation for each in self.instance_states()}
        found = []
        for key, value in self._values(keys.INSTANCES, InstanceAssignment):
            node = NodeId(keys.parts(key)[0])
            key_of = (node, value.slice, value.number)
            serves = key_of in serving
            settled = serves and reached.get(key_of, 0) >= value.generation
            found.append(Placed(node=node, assignment=value, serving=serves, settled=settled))
        return tuple(found)

    def contracts(self) -> tuple[SliceContract, ...]:
        """Of every slice that a target wants."""
        wanted = {(target.settings.slice, target.settings.version, target.artifact_sha256) for target in self.targets()}
        placed = {
            (each.slice, each.version, each.artifact_sha256)
            for _, each in self._values(keys.INSTANCES, InstanceAssignment)
        }
        return tuple(
            contract
            for record in self.artifacts()
            for contract in record.slices
            if (contract.name, contract.version, record.sha256) in wanted | placed
        )

    def contract(self, slice_name: str, version: str) -> SliceContract | None:
        return next((each for each in self.contracts() if (each.name, each.version) == (slice_name, version)), None)

    def _value(self, key: str, kind: type[ValueT]) -> ValueT | None:
        item = self._snapshot.get(key)
        if item is None:
            return None
        known = self._decoded.get(key)
        if known is not None and known[0] == item.mod_revision:
            return known[1]  # type: ignore[return-value]  # a key's values are all of one kind
        try:
            value = decode(item.value, kind)
        except msgspec.DecodeError:
            return None  # written by a newer version in a way this one cannot read: as if it were not there
        self._decoded[key] = (item.mod_revision, value)
        return value

    def _values(self, prefix: str, kind: type[ValueT]) -> Iterator[tuple[str, ValueT]]:
        for item in self._snapshot.items(prefix):
            value = self._value(item.key, kind)
            if value is not None:
                yield item.key, value
