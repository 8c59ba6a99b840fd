"""How a member comes to lead: it asks first, votes count by who gave them, a leader that is heard is left alone."""

from __future__ import annotations

from typing import Any

from runtime.consensus.raft import messages as m
from runtime.consensus.raft.core import CANDIDATE, FOLLOWER
from runtime.consensus.raft.replica import Parts, Replica


class Elections(Replica):
    def __init__(self, parts: Parts) -> None:
        self._pre_votes: set[str] = set()
        self._granted: set[str] = set()
        super().__init__(parts)

    def elect(self) -> None:
        """To be called with every tick."""
        if self.is_leader:
            self._check_quorum()
        elif self.clock() > self.election_at_s:
            self.put_off_election()
            if self.votes and self.voters == {self.node}:  # nobody else is to be asked
                self.campaign()
            else:
                self._ask_first()

    def leader_lost(self) -> None:
        """The connection to the leader ended: no need to wait for its silence."""
        self.leader_heard_s = -1e9
        spread = (self.election_timeout_s() - self.timing.election_min) / max(
            1e-9, self.timing.election_max - self.timing.election_min
        )
        soon_s = self.timing.lost_min + spread * (self.timing.lost_max - self.timing.lost_min)
        self.election_at_s = min(self.election_at_s, self.clock() + soon_s)

    def campaign(self, *, transfer: bool = False) -> None:
        self.set_term(self.term + 1, self.node)
        self.leader_node = None
        self.role = CANDIDATE
        self._granted = {self.node}
        self.put_off_election()
        self.note("election_began", {"term": self.term})
        request = m.RequestVote(self.term, self.log.last_index, self.log.last_term, transfer)
        for node in self.other_voters:
            self.promise(node, request)
        self._lead_if_elected()

    def accept_leader(self, node: Any, term: int) -> bool:
        """Whether `node` leads; if it did once, it is told of the newer term."""
        if term < self.term:
            self.promise(node, m.Appended(self.term, ok=False, index=0))
            return False
        self.follow_term(term)
        self.leader_heard_s = self.clock()
        self.put_off_election()
        if self.role != FOLLOWER:
            self.role = FOLLOWER
        self.leader_node = node
        return True

    # -- messages ------------------------------------------------------------------------------------------------------

    def on_pre_vote(self, node: Any, message: m.PreVote) -> None:
        """Whether the asking member could win; nothing is promised by it."""
        if message.term <= self.term:
            self.promise(node, m.Voted(self.term, granted=False))
        if self._hears_leader():
            self.send(node, m.Contacts({name: peer.address for name, peer in self.members.items()}))
        elif message.term > self.term and self._is_as_new(message.last_term, message.last_index):
            self.send(node, m.PreVoted(message.term))

    def on_pre_voted(self, node: Any, message: m.PreVoted) -> None:
        if message.term != self.term + 1 or self.is_leader or not self.votes:
            return
        self._pre_votes.add(node.id)
        if len((self._pre_votes | {self.node}) & self.voters) >= self.quorum:
            self._pre_votes.clear()
            self.campaign()

    def on_request_vote(self, node: Any, message: m.RequestVote) -> None:
        if self._hears_leader() and not message.transfer:
            return  # a member that was cut off, or removed, must not depose a leader that is well
        self.follow_term(message.term)
        granted = (
            message.term == self.term
            and self.voted_for in (None, node.id)
            and not self.is_leader
            and self._is_as_new(message.last_term, message.last_index)
        )
        if granted:
            if self.voted_for is None:
                self.set_term(self.term, node.id)
            self.put_off_election()
        self.promise(node, m.Voted(self.term, granted))

    def on_voted(self, node: Any, message: m.Voted) -> None:
        self.follow_term(message.term)
        if message.granted and message.term == self.term and self.role == CANDIDATE:
            self._granted.add(node.id)
            self._lead_if_elected()

    def on_timeout_now(self, node: Any, message: m.TimeoutNow) -> None:
        if message.term == self.term and self.leader_node == node and self.votes:
            self.campaign(transfer=True)

    def on_contacts(self, _node: Any, message: m.Contacts) -> None:
        self.meet(message.members)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ask_first(self) -> None:
        """Learners ask too: they get no vote by it, but hear from whom to learn."""
        self._pre_votes.clear()
        question = m.PreVote(self.term + 1, self.log.last_index, self.log.last_term)
        for node in self.everyone:
            self.send(node, question)

    def _lead_if_elected(self) -> None:
        if len(self._granted & self.voters) >= self.quorum:
            self.note("elected", {"term": self.term})
            self._SyncObj__onBecomeLeader()
            self.heard_s.update(dict.fromkeys(self.peers, self.clock()))  # by this member's clock, not pysyncobj's

    def _hears_leader(self) -> bool:
        return self.is_leader or self.clock() - self.leader_heard_s < self.timing.election_min

    def _is_as_new(self, last_term: int, last_index: int) -> bool:
        return (last_term, last_index) >= (self.log.last_term, self.log.last_index)

    def _check_quorum(self) -> None:
        """A leader that a majority does not answer any more is none; others may lead already."""
        limit_s = self.clock() - self.timing.election_max
        heard = {node.id for node in self.other_voters if self.heard_s.get(node, 0.0) > limit_s} | {self.node}
        if len(heard & self.voters) < self.quorum:
            self.note("quorum_lost", {"term": self.term, "heard": sorted(heard)})
            self.step_down()
