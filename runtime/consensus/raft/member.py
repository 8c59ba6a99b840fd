"""One raft member: pysyncobj's elections and replication, with the parts replaced that are not safe as they are.

Replaced here: what is done with messages (terms in acknowledgements, votes counted by identity, truncation only on
conflict, pre-vote), the apply path, membership without pickle, loading of snapshots. The names with `_SyncObj__` are
pysyncobj's private methods, overridden on purpose; the version is pinned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.consensus.commands import Failed, Result
from runtime.consensus.machine import Machine
from runtime.consensus.raft.core import CANDIDATE, FOLLOWER, MEMBERSHIP, REGULAR, EntryT, syncobj
from runtime.consensus.raft.journal import Journal
from runtime.consensus.raft.snapshot import StateFile, read_state, write_state
from runtime.consensus.raft.transport import MessageT, Node, RaftTransport
from runtime.consensus.store import TXN_BYTES_MAX

BATCH_BYTES: Final = (
    TXN_BYTES_MAX * 2
)  # above any command, so that pysyncobj's pickling path for big ones is not reached
SNAPSHOT_PART_BYTES: Final = 256 * 1024
COMPACT_ENTRIES: Final = 20_000
COMPACT_S: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. Three nodes on two busy cores must not flap, and an election should still end within a second or so."""

    election_min: float = 0.6
    election_max: float = 1.2
    heartbeat: float = 0.1
    fallback: float = 1.2  # a leader that hears from no majority for this long steps down


class Member(syncobj.SyncObj):  # type: ignore[misc, name-defined]  # pysyncobj has no types
    """Driven from outside by `doTick`; `note` is told of what people may want to see in the log."""

    def __init__(
        self,
        *,
        node: str,
        journal: Journal,
        state_file: Path,
        transport: RaftTransport,
        machine: Machine,
        timing: Timing,
        clock: Callable[[], float] = time.monotonic,
        joining: bool,
        state_changed: Callable[[], None],
        note: Callable[[str, dict[str, object]], None],
    ) -> None:
        self._machine = machine
        self._journal = journal
        self._state_file = state_file
        self._links = transport
        self._clock = clock
        self._timing = timing
        self._waits_for_leader = joining  # a member that joins must not campaign before it has heard the others
        self._note = note
        self._leader_heard_s = -1e9
        self._ack_index: int | None = None
        self._voters: set[tuple[int, str]] = set()
        self._pre_votes: set[str] = set()
        self._pre_vote_won = False
        self._change_index = 0
        self._sent_commit = 0
        syncobj.createJournal = lambda _file: journal  # type: ignore[attr-defined]  # the module's own global
        others = [Node(name, address=address) for name, address in transport.members.items() if name != node]
        conf = syncobj.SyncObjConf(
            autoTick=False,
            dynamicMembershipChange=True,
            appendEntriesUseBatch=True,
            appendEntriesBatchSizeBytes=BATCH_BYTES,
            appendEntriesPeriod=timing.heartbeat,
            raftMinTimeout=timing.election_min,
            raftMaxTimeout=timing.election_max,
            leaderFallbackTimeout=timing.fallback,
            commandsWaitLeader=False,
            logCompactionMinEntries=COMPACT_ENTRIES,
            logCompactionMinTime=COMPACT_S,
            logCompactionBatchSize=SNAPSHOT_PART_BYTES,
            fullDumpFile=str(state_file),
            serializer=self._write_snapshot,
            deserializer=lambda _file: (),
            onStateChanged=lambda _old, _new: state_changed(),
        )
        super().__init__(
            Node(node, address=transport.members.get(node, "")), others, conf, nodeClass=Node, transport=transport
        )
        transport.setOnMessageReceivedCallback(self._message)
        transport.outgoing = self._outgoing

    # -- what the engine asks ----------------------------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        return bool(self._isLeader())

    @property
    def leader(self) -> str:
        """Empty once the leader has not been heard for as long as an election may take to begin."""
        leader = self._getLeader()
        if leader is None:
            return ""
        silent = self._clock() - self._leader_heard_s > self._timing.election_max
        return "" if silent and not self.is_leader else str(leader.id)

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def commit_index(self) -> int:
        return int(self.raftCommitIndex)

    @property
    def applied_index(self) -> int:
        return int(self.raftLastApplied)

    @property
    def last_index(self) -> int:
        return self._journal[-1][1]

    @property
    def leads_since_index(self) -> int:
        """The no-op that began this leader's term; what is committed before it is applied may be incomplete."""
        return int(self._SyncObj__noopIDx or 0)

    @property
    def others(self) -> set[str]:
        return {node.id for node in self._SyncObj__otherNodes}

    def heard_from_majority(self, within_s: float) -> bool:
        limit = self._clock() - within_s
        heard = sum(at > limit for node, at in self._SyncObj__lastResponseTime.items() if node.id in self.others)
        return bool(heard + 1 > (len(self.others) + 1) / 2)

    def propose(self, command: bytes, done: Callable[[Result | None, int], None]) -> None:
        """`done(result, reason)`; reason 0 is success, everything else "not, or perhaps not"."""
        self._applyCommand(command, done, REGULAR)

    def propose_change(self, change: str, node: str, address: str, done: Callable[[object, int], None]) -> None:
        """`change` is "add" or "rem"."""
        self._applyCommand(msgspec.msgpack.encode((change, node, address)), done, MEMBERSHIP)

    def tick(self) -> None:
        """One step: elections, commits, applying, sending, syncing."""
        if self._waits_for_leader:
            self._SyncObj__raftElectionDeadline = self._clock() + self._timing.election_max
        elif self._SyncObj__raftState in (FOLLOWER, CANDIDATE):
            self._before_election()
            if not self.others:  # alone: there is nobody to wait for
                self._SyncObj__raftElectionDeadline = 0
        self.doTick(0.0)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _outgoing(self, message: MessageT) -> MessageT:
        """Nothing that promises something leaves before it is on disk; acknowledgements carry their term."""
        kind = message["type"]
        if kind in ("next_node_idx", "response_vote", "request_vote"):
            self._journal.sync()
        if kind == "next_node_idx":
            message["term"] = self.term
            if self._ack_index is not None:
                message["next_node_idx"] = self._ack_index
        return message

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        """Group commit: what came in since the last tick goes out in one message and is synced once, beside it."""
        before = self._journal[-1][1]
        super()._checkCommandsToApply()
        grew, moved = self._journal[-1][1] != before, self.commit_index != self._sent_commit
        if self.is_leader and (grew or moved):
            self._sent_commit = self.commit_index
            self._SyncObj__sendAppendEntries()
        self._journal.sync()

    # -- receiving -----------------------------------------------------------------------------------------------------

    def _message(self, node: Any, message: MessageT) -> None:
        handle = {
            "append_entries": self._append_entries,
            "next_node_idx": self._acknowledged,
            "response_vote": self._voted,
            "request_vote": self._vote_requested,
            "pre_vote": self._pre_vote_requested,
            "pre_vote_granted": self._pre_vote_granted,
        }.get(str(message.get("type")))
        if handle is not None:
            handle(node, message)

    def _pass_on(self, node: Any, message: MessageT) -> None:
        self._SyncObj__onMessageReceived(node, message)

    def _append_entries(self, node: Any, message: Any) -> None:
        if message["term"] >= self.term:
            self._leader_heard_s = self._clock()
            self._waits_for_leader = False
            self._pre_votes.clear()
        if "transmission" in message:  # pysyncobj's pickled path for big entries; no member of ours sends it
            return
        try:
            if message.get("prevLogIdx") is not None and message["term"] >= self.term:
                message["entries"] = [(bytes(entry[0]), entry[1], entry[2]) for entry in message["entries"]]
                self._keep_what_agrees(message)
            self._pass_on(node, message)
        finally:
            self._ack_index = None

    def _keep_what_agrees(self, message: Any) -> None:
        """Entries that are here already are taken out, so that a late or repeated message cuts nothing off."""
        log, previous, entries = self._journal, message["prevLogIdx"], message["entries"]
        first, last = log[0][1], log[-1][1]

        def term_at(index: int) -> int | None:
            return log[index - first][2] if first <= index <= last else None

        if term_at(previous) != message["prevLogTerm"]:
            return
        agreed = 0
        while agreed < len(entries) and term_at(entries[agreed][1]) == entries[agreed][2]:
            agreed += 1
        end = previous + len(entries)
        message["commit_index"] = min(message["commit_index"], end)
        if agreed == len(entries):
            self._ack_index = end + 1
            message.update(prevLogIdx=last, prevLogTerm=log[-1][2], entries=[])
        elif agreed:
            newest = entries[agreed - 1]
            message.update(prevLogIdx=newest[1], prevLogTerm=newest[2], entries=entries[agreed:])

    def _SyncObj__sendNextNodeIdx(  # noqa: N802
        self,
        node: Any,
        reset: bool = False,
        nextNodeIdx: int | None = None,  # noqa: N803
        success: bool = False,
    ) -> None:
        """After a disagreement the leader goes back to what was applied here, which is common to both, in one step.
        One entry at a time, as pysyncobj does, never ends where a round trip takes longer than a heartbeat."""
        if reset and nextNodeIdx is not None:
            nextNodeIdx = min(nextNodeIdx, self.applied_index + 1)  # noqa: N806
        super()._SyncObj__sendNextNodeIdx(node, reset=reset, nextNodeIdx=nextNodeIdx, success=success)

    def _acknowledged(self, node: Any, message: Any) -> None:
        if message.get("term") != self.term or node.id not in self.others:
            return
        if message["reset"]:
            known = self._SyncObj__raftMatchIndex.get(node, 0)
            message["next_node_idx"] = max(message["next_node_idx"], known + 1)
        self._pass_on(node, message)

    # -- elections -----------------------------------------------------------------------------------------------------

    def _before_election(self) -> None:
        """Asks first whether an election could be won, so that a member that was cut off disturbs nobody."""
        if self._pre_vote_won or not self.others or self._SyncObj__raftElectionDeadline >= self._clock():
            return
        self._SyncObj__raftElectionDeadline = self._clock() + self._SyncObj__generateRaftTimeout()
        self._pre_votes.clear()
        last = self._journal[-1]
        for other in self._SyncObj__otherNodes:
            self._links.send(other, {"type": "pre_vote", "term": self.term + 1, "index": last[1], "log_term": last[2]})

    def _pre_vote_requested(self, node: Any, message: Any) -> None:
        last = self._journal[-1]
        fresh = (message["log_term"], message["index"]) >= (last[2], last[1])
        quiet = self._clock() - self._leader_heard_s > self._timing.election_min and not self.is_leader
        if fresh and quiet and message["term"] > self.term:
            self._links.send(node, {"type": "pre_vote_granted", "term": message["term"]})

    def _pre_vote_granted(self, node: Any, message: Any) -> None:
        if message["term"] != self.term + 1 or self.is_leader:
            return
        self._pre_votes.add(node.id)
        if len(self._pre_votes & self.others) + 1 > (len(self.others) + 1) / 2:
            self._pre_votes.clear()
            self._pre_vote_won = True
            self._SyncObj__raftElectionDeadline = 0
            self._note("election_began", {"term": self.term + 1})
            self.doTick(0.0)
            self._pre_vote_won = False

    def _vote_requested(self, node: Any, message: MessageT) -> None:
        if node.id in self.others:
            self._pass_on(node, message)

    def _voted(self, node: Any, message: Any) -> None:
        vote = (message["term"], node.id)
        if message["term"] != self.term or vote in self._voters or node.id not in self.others:
            return
        self._voters = {each for each in self._voters if each[0] == message["term"]} | {vote}
        self._pass_on(node, message)

    # -- applying ------------------------------------------------------------------------------------------------------

    def _SyncObj__doApplyCommand(self, command: bytes) -> Result | None:  # noqa: N802
        if command[0] == REGULAR:
            return self._applied(command[1:])
        change = self._SyncObj__parseChangeClusterRequest(command)
        if change is not None:
            self._SyncObj__doChangeCluster(change)
        return None

    def _applied(self, command: bytes) -> Result:
        """An error while applying is a result, the same on every member; raised, it would be tried again for ever."""
        try:
            return self._machine.apply(command)
        except Exception as error:
            self._note("apply_failed", {"error": repr(error)})
            return Failed("internal", "the command could not be applied")

    # -- membership ----------------------------------------------------------------------------------------------------

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> tuple[str, str, Any] | None:  # noqa: N802
        if command[0] != MEMBERSHIP:
            return None
        change, node, address = msgspec.msgpack.decode(command[1:], type=tuple[str, str, str])
        return change, node, Node(node, address=address)

    def _SyncObj__changeCluster(self, request: tuple[str, str, Any]) -> bool:  # noqa: N802
        """One change at a time: the next only after the last one is committed."""
        if self.applied_index < max(self.leads_since_index, self._change_index):
            return False
        changed = bool(self._SyncObj__doChangeCluster(request))
        if changed:
            self._change_index = self._journal[-1][1] + 1
        return changed

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def _write_snapshot(self, temporary: str, data: tuple[EntryT, EntryT, object]) -> None:
        last, before, _ = data
        write_state(
            Path(temporary),
            StateFile(before=before, last=last, members=self._links.members, state=self._machine.snapshot()),
        )

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:  # noqa: N802, N803
        """Entries behind the snapshot stay: they may have been acknowledged. Raises SnapshotDamaged."""
        file = read_state(self._state_file)
        self._machine.restore(file.state)
        log = self._journal
        position = file.before[1] - log[0][1]
        if not clearJournal and 0 <= position < len(log) and log[position] == file.before:
            log.deleteEntriesTo(position)
        else:
            log.clear()
            log.add(*file.before)
            log.add(*file.last)
        log.sync()
        self._SyncObj__raftLastApplied = file.last[1]
        self._SyncObj__raftCommitIndex = max(self.commit_index, file.last[1])
        if clearJournal:
            self._SyncObj__updateClusterConfiguration(
                [Node(name, address=address) for name, address in file.members.items() if name != self.selfNode.id]
            )
        self._note("snapshot_loaded", {"index": file.last[1]})
