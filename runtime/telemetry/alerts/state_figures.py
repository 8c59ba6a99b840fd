"""Figures that the state itself tells: which nodes answer, what serves, how near quorum is to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.clock import Clock
from runtime.deployment.records import Records, Snapshot
from runtime.state import keys
from runtime.state.values import ClusterRecord, NodeRecord, Phase, StoreBackup, decode
from runtime.telemetry.alerts.figures import name_of

HOUR_MS: Final = 3_600_000
SILENT_S: Final = 15
"""A node whose lease stands, but whose control told nothing for so long, hangs. A new leader has asked it by then."""
JOINING_S: Final = 60
"""For so long a node that was never seen alive may be one that has just been admitted."""
MAYBE: Final = 0.5
"""Of `unresponsive`: not beyond the bound at which its alert begins, and not behind that at which it ends."""
CORE_NODES_MIN: Final = 3
"""Of fewer, none may fail anyway: there is no margin to lose."""
PUBLISHED: Final = frozenset({"unresponsive", "failed", "missing", "quorum_margin", "backup_age_h"})


class StateFigures:
    """A FigureSource of PUBLISHED. `silent_s` says for how long a node's control has told nothing; None if never
    heard. `store_members` are those of the consensus group, none where that is not known."""

    def __init__(
        self,
        *,
        state: Snapshot,
        records: Records,
        silent_s: Callable[[str], int | None],
        store_members: Callable[[], frozenset[str]],
        clock: Clock,
    ) -> None:
        self._state = state
        self._records = records
        self._silent_s = silent_s
        self._store_members = store_members
        self._clock = clock
        self._seen_at = -1
        self._counted = False
        self._failed: Counter[str] = Counter()
        self._missing: dict[str, int] = {}
        self._live: frozenset[str] = frozenset()
        self._seen_live: set[str] = set()
        self._absent_since_ms: dict[str, int] = {}

    def hear(self, _second: object) -> None:
        """Each second, on every node: whoever leads next knows which nodes have lived."""
        self._look()

    def figure(self, subject: str, metric: str) -> float | None:
        self._look()
        name = name_of(subject)
        match metric:
            case "unresponsive":
                return self._unresponsive(name)
            case "failed":
                self._count()
                return float(self._failed[name]) if name in self._missing else None
            case "missing":
                self._count()
                missing = self._missing.get(name)
                return float(missing) if missing is not None else None
            case "quorum_margin":
                return self._quorum_margin()
            case "backup_age_h":
                return self._backup_age_h()
        return None

    def _look(self) -> None:
        """Which nodes live, once per revision."""
        if self._state.revision == self._seen_at:
            return
        self._seen_at, self._counted = int(self._state.revision), False
        self._live = frozenset(each.node for each in self._records.live_nodes())
        self._seen_live |= self._live
        known, now = {each.node for each in self._records.nodes()}, self._clock.unix_ms()
        self._seen_live &= known
        self._absent_since_ms = {node: self._absent_since_ms.get(node, now) for node in known - self._live}

    def _count(self) -> None:
        """Instances, once per revision where somebody asks: the leader does, for every slice each second."""
        if self._counted:
            return
        self._counted = True
        self._failed = Counter(
            str(each.slice) for each in self._records.instance_states() if each.phase is Phase.FAILED
        )
        serving = Counter((each.slice, each.version) for each in self._records.endpoints())
        self._missing = {}
        for target in self._records.targets():
            settings = target.settings
            fewer = max(0, min(settings.min, target.wanted) - serving[settings.slice, settings.version])
            self._missing[settings.slice] = self._missing.get(settings.slice, 0) + fewer

    def _unresponsive(self, name: str) -> float | None:
        record = self._records.node(name)
        if record is None or _goes(record):
            return None
        if name not in self._live:
            return MAYBE if self._may_be_joining(name) else 1.0
        silent_s = self._silent_s(name)
        return float(silent_s is not None and silent_s > SILENT_S)

    def _may_be_joining(self, name: str) -> bool:
        absent_ms = self._clock.unix_ms() - self._absent_since_ms.get(name, 0)
        return name not in self._live and name not in self._seen_live and absent_ms < JOINING_S * 1_000

    def _quorum_margin(self) -> float | None:
        """A node that was forgotten counts for quorum until the store has forgotten it too."""
        core = {each.node for each in self._records.nodes() if each.role == "core"}
        counting = [each for each in self._store_members() or core if not self._may_be_joining(each)]
        if len(counting) < CORE_NODES_MIN:
            return None
        live = sum(each in self._live for each in counting)
        return float(live - (len(counting) // 2 + 1))

    def _backup_age_h(self) -> float | None:
        newest = max((each.at_unix_ms for each in self._backups()), default=0)
        item = self._state.get(keys.CLUSTER) if not newest else None
        if item is not None:
            newest = decode(item.value, ClusterRecord).created_unix_ms
        return (self._clock.unix_ms() - newest) / HOUR_MS if newest else None

    def _backups(self) -> list[StoreBackup]:
        found = []
        for item in self._state.items(keys.STORE_BACKUPS):
            try:
                found.append(decode(item.value, StoreBackup))
            except msgspec.DecodeError:
                continue
        return [each for each in found if each.state == "kept"]


def _goes(record: NodeRecord) -> bool:
    """It was told to: nobody is called for it."""
    return record.leaving or record.shutdown
