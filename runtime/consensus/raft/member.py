"""One raft member, put together and ticked: pysyncobj's election and log skeleton under handlers that are safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from runtime.consensus.commands import Applied, Failed, Result
from runtime.consensus.errors import ChangeUnderWay
from runtime.consensus.raft import messages as m
from runtime.consensus.raft.core import MEMBERSHIP, REGULAR
from runtime.consensus.raft.membership import Change, check_change, encode_change
from runtime.consensus.raft.replica import Parts
from runtime.consensus.raft.replication import LogViolated, Replication

COMMIT_LAG_S: Final = (
    0.004  # what is committed is told with the next entries; alone, and to be answered, only after this
)
APPLIED_A_TICK: Final = 500  # so that messages get in between
_REGULAR: Final = bytes((REGULAR,))
_MEMBERSHIP: Final = bytes((MEMBERSHIP,))

Done = Callable[[Result | None], None]
"""The result; None: this member does not lead (any more), and what became of the command is not known here."""


class Member(Replication):
    """Driven from outside: `tick` after every message, proposal or sync, and from time to time."""

    def __init__(self, parts: Parts) -> None:
        self._proposed: deque[tuple[bytes, Done]] = deque()
        self._waiting: dict[int, tuple[int, Done]] = {}  # index → (term, whom to tell)
        self.change_index = 0
        self._sent_commit = 0  # as the others were last told
        self._sent_index = 0
        self._owes_since_s = 0.0
        super().__init__(parts)
        self._handlers: dict[type, Callable[[Any, Any], None]] = {
            m.Append: self.on_append,
            m.Appended: self.on_appended,
            m.Install: self.on_install,
            m.Installing: self.on_installing,
            m.PreVote: self.on_pre_vote,
            m.PreVoted: self.on_pre_voted,
            m.RequestVote: self.on_request_vote,
            m.Voted: self.on_voted,
            m.Contacts: self.on_contacts,
            m.TimeoutNow: self.on_timeout_now,
        }

    # -- what the engine asks ------------------------------------------------------------------------------------------

    @property
    def leader(self) -> str:
        """Empty once the leader has not been heard for as long as an election may take to begin."""
        node = self.leader_node
        if node is None:
            return ""
        silent = self.clock() - self.leader_heard_s > self.timing.election_max
        return "" if silent and not self.is_leader else str(node.id)

    @property
    def lag(self) -> dict[str, int]:
        """How many entries each other member is behind; only a leader knows."""
        if not self.is_leader:
            return {}
        peers = {name: self.peer(name) for name in self.members if name != self.node}
        return {name: self.log.last_index - self.match_index[peer] for name, peer in peers.items()}

    def propose(self, command: bytes, done: Done) -> None:
        self._proposed.append((command, done))

    def propose_change(self, change: Change, done: Done) -> None:
        """In force as soon as it is in the log. Raises InvalidRequest when it is refused, ChangeUnderWay while another
        is not committed."""
        if not self.is_leader:
            done(None)
            return
        if self.applied_index < max(self.leads_since_index, self.change_index):
            raise ChangeUnderWay("an earlier change of members is not committed yet")
        check_change(self.members, change)
        self._append_own(_MEMBERSHIP + encode_change(change), done)
        self.change_index = self.log.last_index
        self.count_members()

    def transfer(self, name: str) -> bool:
        """Asks a voter that has the whole log to take over. False if it does not have it, or is not there."""
        node = self.peer(name)
        if not self.is_leader or node is None or node not in self.connected or not self.members[name].votes:
            return False
        if self.match_index[node] < self.log.last_index:
            return False
        return self.send(node, m.TimeoutNow(self.term))

    # -- connections and messages --------------------------------------------------------------------------------------

    def connect(self, name: str) -> None:
        node = self.peer(name)
        if node in self.peers and node not in self.connected:
            self.connected.add(node)
            self.go_back(node)

    def disconnect(self, name: str) -> None:
        node = self.peer(name)
        self.connected.discard(node)
        if node is not None and self.leader_node == node and not self.is_leader:
            self.leader_lost()

    def receive(self, name: str, message: m.Message) -> None:
        """Strangers are not heard, and what guests answer does not count."""
        node = self.peer(name)
        handler = self._handlers.get(type(message))
        if node is not None and handler is not None:
            handler(node, message)

    # -- the tick ------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self.doTick(0.0)

    def _onTick(self, timeToWait: float = 0.0) -> None:  # noqa: N802, N803  pysyncobj's name
        """One step: elections, commits, applying, taking proposals, sending, syncing."""
        self.elect()
        if self.is_leader:
            self.advance_commit()
        self._apply_some()
        self._take_proposals()
        if self.is_leader:
            self._replicate()
        self.write_snapshot()
        self.log.flush()

    def _replicate(self) -> None:
        now_s, news = self.clock(), self.log.last_index > self._sent_index
        owes = self.owes_commit
        if owes and not self._owes_since_s:
            self._owes_since_s = now_s
        beat = now_s >= self.beat_at_s or (owes and now_s >= self._owes_since_s + COMMIT_LAG_S)
        if beat or news:
            self._sent_commit, self._sent_index, self._owes_since_s = self.commit_index, self.log.last_index, 0.0
        self.replicate(beat=beat)

    @property
    def owes_commit(self) -> bool:
        """Whether the others do not know yet what is committed."""
        return self.is_leader and self.commit_index != self._sent_commit

    @property
    def has_more(self) -> bool:
        """Whether another tick has something to do at once."""
        return self.applied_index < self.commit_index or self.is_writing or bool(self._proposed)

    def fail_waiting(self) -> None:
        """This member does not lead any more."""
        waiting, self._waiting = self._waiting, {}
        proposed, self._proposed = self._proposed, deque()
        for _, done in waiting.values():
            done(None)
        for _, done in proposed:
            done(None)

    def _take_proposals(self) -> None:
        while self._proposed:
            command, done = self._proposed.popleft()
            if self.is_leader:
                self._append_own(_REGULAR + command, done)
            else:
                done(None)

    def _append_own(self, command: bytes, done: Done) -> None:
        index = self.log.last_index + 1
        self.log.add(command, index, self.term)
        self._waiting[index] = (self.term, done)

    # -- applying ------------------------------------------------------------------------------------------------------

    def _apply_some(self) -> None:
        """Every entry once: the index moves on before anyone is told, and what they do cannot raise into this."""
        before = self.applied_index
        todo = min(APPLIED_A_TICK, self.commit_index - before)
        for command, index, term in self.log.from_index(before + 1, todo) if todo > 0 else ():
            result = self._applied(command[1:]) if command[:1] == _REGULAR else None
            self.applied_index = index
            waiting = self._waiting.pop(index, None)
            if waiting is not None:
                waiting[1]((result or _DONE) if waiting[0] == term else None)
        if todo > 0 and self.applied_index == before:
            raise LogViolated(f"entry {before + 1} is committed and is not in the log")

    def _applied(self, command: bytes) -> Result:
        """An error while applying is a result, the same on every member; raised, it would be tried again for ever."""
        try:
            return self.machine.apply(command)
        except Exception as error:
            self.note("apply_failed", {"error": repr(error)})
            return Failed("internal", "the command could not be applied")


_DONE: Final = Applied()  # of an entry that is no command
