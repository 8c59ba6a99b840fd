"""The log from the leader to the others: what is sent, what is taken over, and what counts as committed."""

from __future__ import annotations

from typing import Any, Final

from runtime.consensus.raft import messages as m
from runtime.consensus.raft.core import EntryT
from runtime.consensus.raft.installs import Installs
from runtime.consensus.raft.membership import change_of
from runtime.consensus.raft.replica import BATCH_BYTES, Parts

WINDOW: Final = 4_096  # entries on the way to a member that has not answered


class LogViolated(Exception):
    """A committed entry would have to go. That cannot happen in raft; the member stops rather than forget it."""


class Replication(Installs):
    def __init__(self, parts: Parts) -> None:
        self.beat_at_s = 0.0
        self._entries_max = parts.entries_max
        super().__init__(parts)

    # -- leader --------------------------------------------------------------------------------------------------------

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802  pysyncobj calls it when it has become leader
        self.replicate(beat=True)

    def replicate(self, *, beat: bool) -> None:
        """To every member what it does not have yet; with `beat` to the others that this leader is there."""
        if beat:
            self.beat_at_s = self.clock() + self.timing.heartbeat
        for node in sorted(self.peers, key=lambda each: str(each.id)):
            if node in self.connected:
                self._replicate_to(node, beat)

    def _replicate_to(self, node: Any, beat: bool) -> None:
        log = self.log
        if self.next_index[node] - 1 < log.base_index:
            self.install(node, beat)
            return
        sent = False
        while (first := self.next_index[node]) <= log.last_index and first - 1 - self.match_index[node] < WINDOW:
            entries = _of_size(log.from_index(first, self._entries_max))
            if not self.send(node, self._append(first, entries)):
                self.go_back(node)
                return
            self.next_index[node] = entries[-1][1] + 1
            sent = True
        if beat and not sent:
            self.send(node, self._append(self.next_index[node], []))

    def go_back(self, node: Any) -> None:
        """What was on its way may be lost: on from what the member is known to have, or else ask it by a heartbeat."""
        self.next_index[node] = (self.match_index[node] or self.log.last_index) + 1

    def _append(self, first: int, entries: list[EntryT]) -> m.Append:
        previous = self.log.term_at(first - 1)
        assert previous is not None
        return m.Append(self.term, first - 1, previous, entries, self.commit_index)

    def on_appended(self, node: Any, message: m.Appended) -> None:
        self.follow_term(message.term)
        if not self.is_leader or message.term != self.term or node not in self.peers:
            return
        self.heard_s[node] = self.clock()
        match = self.match_index[node]
        if message.ok:
            self.match_index[node] = max(match, message.index)
            self.next_index[node] = max(self.next_index[node], message.index + 1)
        else:  # never back to before what it is known to have
            self.next_index[node] = min(max(match + 1, message.index), self.log.last_index + 1)

    def advance_commit(self) -> None:
        """An entry of this term that a majority of the voters has on disk is committed, and all before it."""
        have = [self.match_index[node] for node in self.other_voters]
        if self.votes:
            have.append(self.log.durable_index)
        have.sort(reverse=True)
        index = have[self.quorum - 1] if len(have) >= self.quorum else 0
        if index > self.commit_index and self.log.term_at(index) == self.term:
            self.commit_index = index

    # -- follower ------------------------------------------------------------------------------------------------------

    def on_append(self, node: Any, message: m.Append) -> None:
        if not self.accept_leader(node, message.term):
            return
        log = self.log
        if message.prev_index > log.last_index:
            self.promise(node, m.Appended(self.term, ok=False, index=log.last_index + 1))
        elif message.prev_index >= log.base_index and log.term_at(message.prev_index) != message.prev_term:
            # what is committed here is common to both: one step back to it, however long the difference is
            self.promise(node, m.Appended(self.term, ok=False, index=self.commit_index + 1))
        else:
            self._take_over(message.entries)
            agreed = message.prev_index + len(message.entries)
            self.commit_index = max(self.commit_index, min(message.commit_index, agreed))
            self.promise(node, m.Appended(self.term, ok=True, index=agreed))

    def _take_over(self, entries: list[EntryT]) -> None:
        """Cuts off only where there is a conflict: a late or repeated message must not undo what came since."""
        log = self.log
        at = 0
        while at < len(entries) and self._has(entries[at]):
            at += 1
        if at == len(entries):
            return
        first = entries[at][1]
        cuts = first <= log.last_index
        if cuts:
            if first <= self.commit_index:
                raise LogViolated(f"entry {first} is committed here and differs from the leader's")
            log.cut_from(first)
        for command, index, term in entries[at:]:
            log.add(bytes(command), index, term)
        if cuts or any(change_of(entry) for entry in entries[at:]):
            self.count_members()

    def _has(self, entry: EntryT) -> bool:
        """What lies before the base is committed, so it agrees."""
        return entry[1] <= self.log.base_index or self.log.term_at(entry[1]) == entry[2]


def _of_size(entries: list[EntryT]) -> list[EntryT]:
    """As many as fit one message, at least one."""
    size = 0
    for at, entry in enumerate(entries):
        size += len(entry[0]) + 16
        if size > BATCH_BYTES and at:
            return entries[:at]
    return entries
