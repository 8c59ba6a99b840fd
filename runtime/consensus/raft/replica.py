"""What all parts of a member share: its log, its members, its clock, and the rule that promises wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from runtime.consensus.limits import COMMAND_BYTES_MAX
from runtime.consensus.machine import Machine
from runtime.consensus.raft.core import FOLLOWER, Core, Node, syncobj
from runtime.consensus.raft.disk import Disk
from runtime.consensus.raft.log import Log
from runtime.consensus.raft.membership import Members, Peer, change_of, changed, quorum, voters
from runtime.consensus.raft.messages import Message

BATCH_BYTES: Final = 256 * 1024
ENTRIES_MAX: Final = 2_048  # of one message
SNAPSHOT_EVERY: Final = 20_000  # entries behind the last snapshot: then the next one is due
SNAPSHOT_KEPT: Final = 5_000  # entries kept before it: a member that was away for a moment needs no snapshot

Note = Callable[[str, dict[str, object]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. A leader whose process died is missed at once, by its connections' end; these are for one that is
    silent, and must bear the pauses of a busy machine."""

    election_min: float = 0.5
    election_max: float = 1.0
    heartbeat: float = 0.08
    lost_min: float = 0.01  # after the leader's connection ended
    lost_max: float = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a member is made of. `send` gives False when the message will not arrive."""

    node: str
    cluster: str
    bootstrap: Members
    log: Log
    disk: Disk
    machine: Machine
    timing: Timing
    clock: Callable[[], float]
    send: Callable[[str, Message], bool]
    note: Note
    state_changed: Callable[[], None]
    members_changed: Callable[[dict[str, str]], None]
    entries_max: int = ENTRIES_MAX
    snapshot_every: int = SNAPSHOT_EVERY
    snapshot_kept: int = SNAPSHOT_KEPT


class Replica(Core):
    """pysyncobj's state with ours beside it."""

    def __init__(self, parts: Parts) -> None:
        self.node = parts.node
        self.cluster = parts.cluster
        self.log = parts.log
        self.disk = parts.disk
        self.machine = parts.machine
        self.timing = parts.timing
        self.clock = parts.clock
        self.note = parts.note
        self._send_now = parts.send
        self._held: deque[tuple[int, str, Message]] = deque()  # position of the log that has to be on disk first
        self._members_changed = parts.members_changed
        self.bootstrap = self.base_members = parts.bootstrap
        self.base_members_index = 1  # the log changes them from behind this entry on
        self.members: Members = dict(parts.bootstrap)
        self._nodes: dict[str, Any] = {}
        self._guests: dict[str, Any] = {}  # not in the log here yet, but members say they belong: heard, never counted
        self.leader_heard_s = -1e9
        syncobj.createJournal = lambda _file: parts.log  # type: ignore[attr-defined]  # the module's own global
        conf = syncobj.SyncObjConf(
            autoTick=False,
            dynamicMembershipChange=True,
            appendEntriesPeriod=parts.timing.heartbeat,
            raftMinTimeout=parts.timing.election_min,
            raftMaxTimeout=parts.timing.election_max,
            leaderFallbackTimeout=parts.timing.election_max,
            commandsWaitLeader=False,
            appendEntriesBatchSizeBytes=2 * COMMAND_BYTES_MAX,  # larger entries it would pickle, if it sent them
            onStateChanged=lambda _old, _new: parts.state_changed(),
        )
        own = Node(parts.node, address="")
        super().__init__(own, [], conf, nodeClass=Node, transport=_NoTransport(None, None, ()))
        self.put_off_election()
        self.log.flush()

    # -- members -------------------------------------------------------------------------------------------------------

    @property
    def voters(self) -> set[str]:
        return voters(self.members)

    @property
    def quorum(self) -> int:
        return quorum(self.members)

    @property
    def votes(self) -> bool:
        """Whether this member is a voter."""
        return self.node in self.members and self.members[self.node].votes

    @property
    def other_voters(self) -> list[Any]:
        return [node for name, node in sorted(self._nodes.items()) if self.members[name].votes]

    def peer(self, name: str) -> Any:
        """pysyncobj's node of a member or guest; None for strangers."""
        return self._nodes.get(name) or self._guests.get(name)

    @property
    def everyone(self) -> list[Any]:
        """All members and guests but this one."""
        return [node for _, node in sorted((self._nodes | self._guests).items())]

    def meet(self, addresses: dict[str, str]) -> None:
        """Those that a member vouches for; a member that was away may not know who leads now."""
        for name, address in addresses.items():
            if name != self.node and name not in self._nodes and name not in self._guests:
                self._guests[name] = Node(name, address=address)
        self._tell_addresses()

    def _tell_addresses(self) -> None:
        self._members_changed({str(node.id): str(node.address) for node in self.everyone})

    def count_members(self) -> None:
        """Members are what the newest log says, committed or not: base, then every change behind it."""
        members = self.base_members
        first = max(self.base_members_index, self.log.base_index) + 1
        for entry in self.log.from_index(first, max(0, self.log.last_index - first + 1)):
            change = change_of(entry)
            if change is not None:
                members = changed(members, change)
        self.take_members(members)

    def take_members(self, members: Members) -> None:
        if members == self.members and set(self._nodes) == members.keys() - {self.node}:
            return
        self.members = dict(members)
        others = {name: peer for name, peer in members.items() if name != self.node}
        for name in self._nodes.keys() - others.keys():
            self._drop(self._nodes.pop(name))
        for name, peer in others.items():
            if name not in self._nodes:
                self._nodes[name] = self._added(name, peer)
                self._guests.pop(name, None)
        self._tell_addresses()

    def _added(self, name: str, peer: Peer) -> Any:
        node = Node(name, address=peer.address)
        self.peers.add(node)
        self.next_index[node] = self.log.last_index + 1
        self.match_index[node] = 0
        self.heard_s[node] = self.clock()
        return node

    def _drop(self, node: Any) -> None:
        self.peers.discard(node)
        self.connected.discard(node)
        for table in (self.next_index, self.match_index, self.heard_s):
            table.pop(node, None)

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, node: Any, message: Message) -> bool:
        return self._send_now(node.id, message)

    def promise(self, node: Any, message: Message) -> None:
        """Sends once everything that is in the log now is on disk."""
        if self.log.synced >= self.log.position:
            self._send_now(node.id, message)
        else:
            self._held.append((self.log.position, node.id, message))

    @property
    def held_promises(self) -> int:
        """Messages that wait for the disk."""
        return len(self._held)

    def release(self) -> None:
        """To be called when more of the log is on disk."""
        while self._held and self._held[0][0] <= self.log.synced:
            _, name, message = self._held.popleft()
            self._send_now(name, message)

    # -- terms ---------------------------------------------------------------------------------------------------------

    def follow_term(self, term: int) -> None:
        """A message of a later term was seen: this member follows it, whoever leads there."""
        if term > self.term:
            self.set_term(term, None)
            self.step_down()

    def step_down(self) -> None:
        self.leader_node = None
        self.role = FOLLOWER

    def put_off_election(self) -> None:
        self.election_at_s = self.clock() + self.election_timeout_s()


class _NoTransport(syncobj.Transport):  # type: ignore[misc, name-defined]  # pysyncobj has no types
    """pysyncobj wants one; messages go through `Replica.send`."""

    ready = True

    def destroy(self) -> None: ...
