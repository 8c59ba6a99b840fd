"""The cached state as typed values: what deployment reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from runtime.consensus.cache import StoreCache
from runtime.deployment.placement import Placed
from runtime.names import NodeId
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import (
    ArtifactRecord,
    BlueprintRecord,
    Endpoint,
    InstanceAssignment,
    InstanceState,
    NodeRecord,
    SliceTarget,
    ValueT,
    decode,
)

PREFIXES: Final = (
    keys.CLUSTER,
    keys.NODES,
    keys.NODES_LIVE,
    keys.BLUEPRINTS,
    keys.BLUEPRINTS_TURN,
    keys.TARGETS,
    keys.INSTANCES,
    keys.INSTANCE_STATES,
    keys.ENDPOINTS,
    keys.ARTIFACTS,
)


class StateView:
    """Reads from the cache without awaiting. Decoded values are kept while their key is unchanged."""

    def __init__(self, cache: StoreCache) -> None:
        self.cache = cache
        self._decoded: dict[str, tuple[int, object]] = {}

    def nodes(self) -> tuple[NodeRecord, ...]:
        return tuple(value for _, value in self._values(keys.NODES, NodeRecord))

    def live_nodes(self) -> tuple[NodeRecord, ...]:
        live = {keys.parts(item.key)[0] for item in self.cache.items(keys.NODES_LIVE)}
        return tuple(record for record in self.nodes() if record.node in live)

    def node(self, name: str) -> NodeRecord | None:
        return self._value(keys.node(NodeId(name)), NodeRecord)

    def blueprints(self) -> tuple[BlueprintRecord, ...]:
        return tuple(value for _, value in self._values(keys.BLUEPRINTS, BlueprintRecord))

    def targets(self) -> tuple[SliceTarget, ...]:
        return tuple(value for _, value in self._values(keys.TARGETS, SliceTarget))

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
        found = []
        for key, value in self._values(keys.INSTANCES, InstanceAssignment):
            node = NodeId(keys.parts(key)[0])
            found.append(Placed(node=node, assignment=value, serving=(node, value.slice, value.number) in serving))
        return tuple(found)

    def contracts(self) -> tuple[SliceContract, ...]:
        """Of every slice that a target wants."""
        wanted = {(target.settings.slice, target.settings.version, target.artifact_sha256) for target in self.targets()}
        placed = {
            (each.assignment.slice, each.assignment.version, each.assignment.artifact_sha256) for each in self.placed()
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
        item = self.cache.get(key)
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
        for item in self.cache.items(prefix):
            value = self._value(item.key, kind)
            if value is not None:
                yield item.key, value
