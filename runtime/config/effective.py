"""Which value of a setting is in force at a node, and what made it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from runtime.config.settings import Json, NodeSettings, Setting, declared, is_allowed
from runtime.deployment.records import Snapshot
from runtime.state import keys

Source = Literal["slice", "node", "cluster", "file", "default", "unknown"]
CLUSTER: Final = "cluster"
_SLICE: Final = "slice:"


def scope_of(node: str, slice_name: str = "") -> str:
    """As keys name it: of one slice, of one node, or of the whole cluster."""
    if slice_name:
        return f"{_SLICE}{slice_name}"
    return f"node:{node}" if node else CLUSTER


def slices_in(state: Snapshot) -> list[str]:
    """Those that have settings of their own."""
    scopes = {keys.parts(item.key)[0] for item in state.items(f"{keys.CONFIG}{_SLICE}")}
    return sorted(scope.removeprefix(_SLICE) for scope in scopes)


def stored_for(state: Snapshot, slice_name: str) -> dict[str, Json]:
    """What the store says for one slice alone."""
    return _stored(state, scope_of("", slice_name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Values by setting, the strongest layer first. `file` is None where it cannot be read: that of another node."""

    node: Mapping[str, Json]
    cluster: Mapping[str, Json]
    file: Mapping[str, Json] | None
    slice: Mapping[str, Json] = field(default_factory=dict)

    def value(self, setting: Setting) -> tuple[Json, Source]:
        name = setting.name
        if name in self.slice:
            return self.slice[name], "slice"
        if name in self.node:
            return self.node[name], "node"
        if name in self.cluster:
            return self.cluster[name], "cluster"
        if self.file is None:
            return setting.default, "unknown"
        if name in self.file:
            return self.file[name], "file"
        return setting.default, "default"

    def stored(self) -> dict[str, Json]:
        """What the store says for the node."""
        return {**self.cluster, **self.node}


def layers_of(state: Snapshot, node: str, *, file: Mapping[str, Json] | None, slice_name: str = "") -> Layers:
    """Of a node; with `slice_name`, as they hold for that slice there."""
    of_slice = stored_for(state, slice_name) if slice_name else {}
    return Layers(node=_stored(state, scope_of(node)), cluster=_stored(state, CLUSTER), file=file, slice=of_slice)


def settings_in(state: Snapshot, node: str, file: Mapping[str, Json]) -> NodeSettings:
    """Those in force at a node. file: what its own config.toml says."""
    return msgspec.convert({**file, **layers_of(state, node, file=file).stored()}, NodeSettings)


def _stored(state: Snapshot, scope: str) -> dict[str, Json]:
    """What this version does not know or allow is left out, as if it were not there."""
    found: dict[str, Json] = {}
    for setting in declared():
        if scope.startswith(_SLICE) and setting.scope != "slice":
            continue
        item = state.get(keys.config(scope, setting.name))
        if item is not None:
            value = msgspec.json.decode(item.value)
            if is_allowed(setting.name, value):
                found[setting.name] = value
    return found
