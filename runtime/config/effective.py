"""Which value of a setting is in force at a node, and what made it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from runtime.config.settings import Json, Setting, declared, is_allowed
from runtime.deployment.records import Snapshot
from runtime.state import keys

Source = Literal["node", "cluster", "file", "default", "unknown"]
CLUSTER: Final = "cluster"


def scope_of(node: str) -> str:
    """As keys name it: of one node, or of the whole cluster."""
    return f"node:{node}" if node else CLUSTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Values by setting, the strongest layer first. `file` is None where it cannot be read: that of another node."""

    node: Mapping[str, Json]
    cluster: Mapping[str, Json]
    file: Mapping[str, Json] | None

    def value(self, setting: Setting) -> tuple[Json, Source]:
        name = setting.name
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


def layers_of(state: Snapshot, node: str, *, file: Mapping[str, Json] | None) -> Layers:
    return Layers(node=_stored(state, scope_of(node)), cluster=_stored(state, CLUSTER), file=file)


def _stored(state: Snapshot, scope: str) -> dict[str, Json]:
    """What this version does not know or allow is left out, as if it were not there."""
    found: dict[str, Json] = {}
    for setting in declared():
        item = state.get(keys.config(scope, setting.name))
        if item is not None:
            value = msgspec.json.decode(item.value)
            if is_allowed(setting.name, value):
                found[setting.name] = value
    return found
