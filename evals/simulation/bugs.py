"""The bugs that can be planted: what the store did, or would do, without one of its protections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtime.consensus import commands as c
from runtime.consensus.history import History
from runtime.consensus.leases import Leases
from runtime.consensus.machine import Machine
from runtime.consensus.raft import messages as m
from runtime.consensus.raft.core import CANDIDATE, MEMBERSHIP
from runtime.consensus.raft.elections import Elections
from runtime.consensus.raft.installs import Installs
from runtime.consensus.raft.log import Log
from runtime.consensus.raft.member import Done, Member
from runtime.consensus.raft.membership import Change, Members, Peer, check_change, encode_change
from runtime.consensus.raft.reads import ReadRounds
from runtime.consensus.raft.replica import Replica
from runtime.consensus.raft.replication import Replication
from runtime.consensus.raft.snapshot import NAME, OWN, SnapshotWriter
from runtime.consensus.sessions import Session, Sessions
from runtime.consensus.state_blocks import StateBlock, blocks_of
from runtime.consensus.store import LeaseId, Revision, WatchBatch

_on_appended, _receive = Replication.on_appended, Installs._receive  # as they are without a bug


# -- replication -------------------------------------------------------------------------------------------------------


def cut_without_conflict(self: Replication, entries: list[Any]) -> None:
    """As stock pysyncobj does: what follows the message's first entry goes, although it agrees."""
    if entries and self.log.base_index < entries[0][1] <= self.log.last_index:
        self.log.cut_from(entries[0][1])
    for command, index, term in entries:
        if index > self.log.last_index:
            self.log.add(bytes(command), index, term)
    self.count_members()


def believe_any_acknowledgement(self: Replication, node: Any, message: m.Appended) -> None:
    """One of an earlier term counts, for as much as the log has now."""
    if message.term >= self.term or not message.ok:
        _on_appended(self, node, message)
    elif self.is_leader and node in self.peers:
        self.match_index[node] = self.log.last_index


def acknowledge_everything(self: Replication, node: Any, message: m.Append) -> None:
    """It says that it has whatever it was sent, without comparing what lies before."""
    if self.accept_leader(node, message.term):
        if message.prev_index <= self.log.last_index:
            self._take_over(message.entries)
            self.commit_index = max(self.commit_index, min(message.commit_index, self.log.last_index))
        self.promise(node, m.Appended(self.term, ok=True, index=message.prev_index + len(message.entries)))


def commit_without_majority(self: Replication) -> None:
    have = sorted([*(self.match_index[node] for node in self.other_voters), self.log.durable_index], reverse=True)
    index = have[max(0, self.quorum - 2)]
    if index > self.commit_index and self.log.term_at(index) == self.term:
        self.commit_index = index


def commit_any_term(self: Replication) -> None:
    have = sorted([*(self.match_index[node] for node in self.other_voters), self.log.durable_index], reverse=True)
    index = have[self.quorum - 1] if len(have) >= self.quorum else 0
    self.commit_index = max(self.commit_index, index)


def count_unsynced(self: Log) -> int:
    return self.last_index


# -- elections ---------------------------------------------------------------------------------------------------------


def promise_before_sync(self: Replica, node: Any, message: m.Message) -> None:
    self.send(node, message)


def forget_the_vote(self: Replica, term: int, vote: str | None) -> None:
    """In memory only: a restart may vote again in the same term."""
    self._SyncObj__raftCurrentTerm = term
    self._SyncObj__votedForNodeId = vote


def vote_for_anyone(_self: Elections, _last_term: int, _last_index: int) -> bool:
    return True


def vote_twice(self: Elections, node: Any, message: m.RequestVote) -> None:
    if self._hears_leader() and not message.transfer:
        return
    self.follow_term(message.term)
    granted = (
        message.term == self.term and not self.is_leader and self._is_as_new(message.last_term, message.last_index)
    )
    self.promise(node, m.Voted(self.term, granted))


def count_votes_by_number(self: Elections, _node: Any, message: m.Voted) -> None:
    """A message that arrives twice counts twice, and one for an earlier term as well."""
    self.follow_term(message.term)
    if message.granted and self.role == CANDIDATE:
        self._granted.add(f"vote {len(self._granted)}")
        if len(self._granted) >= self.quorum:
            self._SyncObj__onBecomeLeader()


def never_ask_first(self: Elections) -> None:
    if self.votes:
        self.campaign()


def never_hear_a_leader(_self: Elections) -> bool:
    return False


def lead_alone(_self: Elections) -> None:
    """No check of the quorum."""


# -- log and snapshots -------------------------------------------------------------------------------------------------


def count_what_was_found(_self: Log) -> None:
    """What a killed process wrote counts as durable once it was read, though only the system has it."""


def trust_every_byte(_data: object, _before: int = 0) -> int:
    """The checksum that is expected is whatever is found: zero here, and zero is written."""
    return 0


def cut_any_damage(_data: bytes, _start: int, _batch: int) -> int:
    return 0


def publish_unsynced(self: Installs, written: SnapshotWriter) -> None:
    """The snapshot counts, and the log is cut, before its file is on disk."""
    self._writing = None
    self.disk.rename(OWN, NAME)
    self._published(written.header, written.bytes)


def keep_own_snapshot(self: Installs, node: Any, receiving: Any, message: m.Install) -> None:
    """An own snapshot that was begun before goes on, and replaces the newer one that was received."""
    own = self._writing
    _receive(self, node, receiving, message)
    self._writing = own


def snapshot_without_leases(self: Machine) -> Iterator[StateBlock]:
    """Leases and sessions change without a revision, and were forgotten."""
    first = StateBlock(revision=self.revision, next_lease=self.leases.next_id, next_session=self.sessions.next_id)
    return blocks_of(first, {}, [], self.keys.picture())


# -- state machine -----------------------------------------------------------------------------------------------------


def apply_again(self: Sessions, envelope: c.Envelope) -> None:
    """A repeated command is a new one."""
    self.by_id.setdefault(envelope.session, Session(0, {}))


async def read_without_asking(self: ReadRounds) -> None:
    """Whoever thinks that it leads answers."""


def count_time_before(self: Leases, elapsed_ms: int) -> list[LeaseId]:
    """A lease pays for time that passed before its keep-alive."""
    for lease in self.by_id.values():
        lease.fresh = False
        lease.left_ms -= max(0, elapsed_ms)
    return sorted(LeaseId(number) for number, lease in self.by_id.items() if lease.left_ms <= 0)


def watch_with_gaps(self: History, prefix: str | tuple[str, ...], from_revision: Revision) -> list[WatchBatch]:
    """What is no longer known is left out, silently."""
    return [batch for batch, _ in self._batches if batch.revision > from_revision and prefix is not None]


def apply_twice_where_answered(self: Member, command: bytes) -> c.Result:
    """The member that answers applies once more than the others."""
    if self.is_leader and self._waiting:
        self.machine.apply(command)
    return self.machine.apply(command)


def change_members_at_once(self: Member, change: Change, done: Done) -> None:
    """Before the change before it is committed, and with a vote from the start."""
    if not self.is_leader:
        done(None)
        return
    check_change(self.members, change)
    self._append_own(bytes((MEMBERSHIP,)) + encode_change(change), done)
    self.count_members()


def voters_at_once(members: Members, change: Change) -> Members:
    """A new member votes before it has caught up."""
    after = dict(members)
    if change.kind == "remove":
        after.pop(change.node, None)
    elif change.kind == "add":
        after.setdefault(change.node, Peer(change.address))
    return after
