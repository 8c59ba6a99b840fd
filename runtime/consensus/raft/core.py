"""pysyncobj's core, imported without what the store must not have: its sockets, its poller, its optional crypto.

pysyncobj keeps its state in private attributes. This is the one file that knows their mangled names; the version is
pinned, and tests/unit/test_raft_pins.py fails when a function that is overridden or relied on changes.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final, cast


class _NoPoller:
    """pysyncobj polls its own sockets in its tick; there are none."""

    def subscribe(self, *_arguments: object) -> None: ...

    def unsubscribe(self, *_arguments: object) -> None: ...

    def poll(self, _timeout: float) -> None: ...


def _import() -> ModuleType:
    """pysyncobj tries to import `cryptography` for a password scheme that is not used: 20 MB for nothing."""
    hidden = [name for name in ("cryptography", "cryptography.fernet") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        module = importlib.import_module("pysyncobj.syncobj")
    finally:
        for name in hidden:
            del sys.modules[name]
    module.createPoller = lambda _kind: _NoPoller()  # type: ignore[attr-defined]
    return module


syncobj: Final = _import()
Node: Final = syncobj.Node
FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2
REGULAR: Final = 0
NO_OP: Final = 1
MEMBERSHIP: Final = 2
EntryT = tuple[bytes, int, int]
"""(command with its type byte, index, term)."""


class Core(syncobj.SyncObj):  # type: ignore[misc, name-defined]  # pysyncobj has no types
    """pysyncobj's state under readable names."""

    @property
    def role(self) -> int:
        return int(self._SyncObj__raftState)

    @role.setter
    def role(self, role: int) -> None:
        self._SyncObj__setState(role)

    @property
    def is_leader(self) -> bool:
        return self.role == LEADER

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def voted_for(self) -> str | None:
        return cast("str | None", self._SyncObj__votedForNodeId)

    def set_term(self, term: int, vote: str | None) -> None:
        """Both go into the log; messages that rest on them wait until they are on disk."""
        self._SyncObj__setCurrentTerm(term, vote)

    @property
    def leader_node(self) -> Any:
        return self._SyncObj__raftLeader

    @leader_node.setter
    def leader_node(self, node: Any) -> None:
        self._SyncObj__raftLeader = node

    @property
    def election_at_s(self) -> float:
        return float(self._SyncObj__raftElectionDeadline)

    @election_at_s.setter
    def election_at_s(self, at_s: float) -> None:
        self._SyncObj__raftElectionDeadline = at_s

    def election_timeout_s(self) -> float:
        return float(self._SyncObj__generateRaftTimeout())

    @property
    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    @commit_index.setter
    def commit_index(self, index: int) -> None:
        self._SyncObj__raftCommitIndex = index

    @property
    def applied_index(self) -> int:
        return int(self._SyncObj__raftLastApplied)

    @applied_index.setter
    def applied_index(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    @property
    def leads_since_index(self) -> int:
        """The no-op that began this leader's term; what is committed before it is applied may be incomplete."""
        return int(self._SyncObj__noopIDx or 0)

    @property
    def peers(self) -> set[Any]:
        """All other members, as pysyncobj's nodes."""
        return cast("set[Any]", self._SyncObj__otherNodes)

    @property
    def next_index(self) -> dict[Any, int]:
        return cast("dict[Any, int]", self._SyncObj__raftNextIndex)

    @property
    def match_index(self) -> dict[Any, int]:
        return cast("dict[Any, int]", self._SyncObj__raftMatchIndex)

    @property
    def heard_s(self) -> dict[Any, float]:
        """When each peer last answered this leader."""
        return cast("dict[Any, float]", self._SyncObj__lastResponseTime)

    @property
    def connected(self) -> set[Any]:
        return cast("set[Any]", self._SyncObj__connectedNodes)
