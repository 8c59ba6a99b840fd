"""The state as planners read it: every key they look at is noted, so that the change can compare it."""

from __future__ import annotations

from runtime.consensus.store import KeyValue
from runtime.deployment.records import Records, Snapshot
from runtime.deployment.topology import Topology, topology_of
from runtime.state import keys


class _Noted:
    """A snapshot that notes what was read of it."""

    def __init__(self, snapshot: Snapshot, reads: dict[str, int]) -> None:
        self._snapshot = snapshot
        self._reads = reads
        self.revision = snapshot.revision

    def get(self, key: str) -> KeyValue | None:
        item = self._snapshot.get(key)
        self._reads[key] = item.mod_revision if item is not None else 0
        return item

    def items(self, prefix: str) -> list[KeyValue]:
        found = self._snapshot.items(prefix)
        self._reads.update({item.key: item.mod_revision for item in found})
        return found


class PlanState:
    """One picture of the state. `records` and `get` note every key in `reads`; `topology` notes the one key that every
    change of a blueprint writes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.reads: dict[str, int] = {}
        self._snapshot = snapshot
        self.unnoted = snapshot
        """For what does not decide the plan, or only moves one way."""
        self._noted = _Noted(snapshot, self.reads)
        self.records = Records(self._noted)
        self.all_records = Records(snapshot)
        """Not noted: for hints, and for what one noted key stands for."""
        self.revision = snapshot.revision

    def get(self, key: str) -> KeyValue | None:
        return self._noted.get(key)

    def value(self, key: str) -> bytes | None:
        item = self.get(key)
        return item.value if item is not None else None

    def all_items(self, prefix: str) -> list[KeyValue]:
        """Not noted: for hints and limits. What a plan stands on is read again with `get`."""
        return self._snapshot.items(prefix)

    def topology(self) -> Topology:
        """Which slices require which, over all blueprints."""
        self._noted.get(keys.BLUEPRINTS_TURN)
        return topology_of(self.all_records)
