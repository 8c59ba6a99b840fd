"""What must hold after every step. Each break names itself; the seed says how to see it again."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from evals.simulation.world import SimulatedNode, World
from runtime.consensus.raft.engine import RaftEngine


class Violation(AssertionError):
    """A promise of the store does not hold."""


class Invariants:
    """Raft's own: election safety, log matching, leader completeness, state machine safety."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks = 0
        self.elections = 0
        self._leaders: dict[int, str] = {}
        self._entries: dict[tuple[int, int], str] = {}  # (index, term) → digest of command and of all before it
        self._chains: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)  # per boot: index → chain digest
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}  # per boot: (log position, applied)
        self.committed: dict[int, tuple[int, bytes]] = {}  # index → (term, command)
        self._hashed: dict[str, int] = {}  # the last applied index at which each one's state was compared
        self._states: dict[int, str] = {}  # applied index → digest of the state
        self._votes: dict[tuple[str, int], str] = {}  # (node, term) → whom it voted for, as far as its disk says
        self._led: dict[tuple[str, int], tuple[int, float]] = {}  # per boot: the term that it leads, and since when
        world.on_tick = self.check

    def check(self, node: SimulatedNode) -> None:
        engine = node.engine
        if engine is None:
            return
        self.checks += 1
        self._election_safety(node.name, engine)
        boot = (node.name, node.boots)
        self._steadiness(node, engine)
        position, applied = self._seen.get(boot, (-1, -1))
        if engine.log.position != position:
            self._log_matching(engine)
        if engine.member.commit_index > applied or engine.log.position != position:
            self._commits(node.name, engine, applied)
        self._seen[boot] = (engine.log.position, engine.member.commit_index)

    def _election_safety(self, name: str, engine: RaftEngine) -> None:
        member = engine.member
        if member.is_leader:
            first = member.term not in self._leaders
            other = self._leaders.setdefault(member.term, name)
            if other != name:
                raise Violation(f"two leaders in term {member.term}: {other} and {name}")
            if first:
                self.elections += 1
                self._leader_completeness(name, engine)
        vote = member.voted_for
        if vote is not None and engine.log.synced == engine.log.position:  # before that nobody was told of it
            before = self._votes.setdefault((name, member.term), vote)
            if before != vote:
                raise Violation(f"{name} voted for {before} and for {vote} in term {member.term}")

    def _steadiness(self, node: SimulatedNode, engine: RaftEngine) -> None:
        """Who is cut off must not depose a leader that a majority hears; and a leader that no majority answers must
        stop being one. Not asked while anything but the network is disturbed."""
        member, boot, now_s = engine.member, (node.name, node.boots), self.world.clock(node)
        led = self._led.get(boot)
        if member.is_leader:
            if led is None or led[0] != member.term:
                self._led[boot] = member.term, now_s
            alone_s = 2 * member.timing.election_max
            if self.world.is_calm and not self._is_heard_by_majority(engine, now_s - alone_s):
                raise Violation(f"{node.name} leads term {member.term}, and no majority answered for {alone_s:.1f} s")
        elif led is not None:
            del self._led[boot]
            heard_s = now_s - 2.5 * member.timing.heartbeat  # shorter than any cut
            settled = now_s - led[1] > member.timing.election_max  # no election that it won still goes on
            if self.world.is_calm and settled and member.term > led[0] and self._is_heard_by_majority(engine, heard_s):
                raise Violation(f"{node.name} led term {led[0]} with a majority and was deposed in term {member.term}")

    def _is_heard_by_majority(self, engine: RaftEngine, since_s: float) -> bool:
        member = engine.member
        heard = {node.id for node in member.other_voters if member.heard_s.get(node, 0.0) > since_s} | {member.node}
        return len(heard & member.voters) >= member.quorum

    def _leader_completeness(self, name: str, engine: RaftEngine) -> None:
        """Late votes may make a leader of an older term than one that has committed since: it can commit nothing."""
        log = engine.log
        known = {index: term for index, (term, _) in self.committed.items() if term <= engine.member.term}
        for index, term in known.items():
            if index > log.base_index and log.term_at(index) != term:
                raise Violation(
                    f"{name} leads term {engine.member.term} without entry {index} of term {term}, which was committed"
                )
        if known and log.last_index < max(known):
            raise Violation(f"{name} leads and its log ends at {log.last_index}, before {max(known)}")

    def _log_matching(self, engine: RaftEngine) -> None:
        """Entries of equal index and term are equal. With it holding pairwise at each append, prefixes are equal too:
        an entry remembers the term of the one before it."""
        log = engine.log
        for at in range(len(log) - 1, 0, -1):
            command, index, term = log[at]
            digest = hashlib.blake2b(command + log[at - 1][2].to_bytes(8, "big"), digest_size=8).hexdigest()
            known = self._entries.get((index, term))
            if known is None:
                self._entries[index, term] = digest
            elif known != digest:
                raise Violation(f"two entries {index} of term {term} differ, or follow different ones")
            elif known == digest and at < len(log) - 64:
                return

    def _commits(self, name: str, engine: RaftEngine, seen: int) -> None:
        member, log = engine.member, engine.log
        for index in range(max(seen + 1, log.base_index + 1), member.commit_index + 1):
            entry = log.from_index(index, 1)
            if not entry:
                continue
            command, _, term = entry[0]
            known = self.committed.setdefault(index, (term, command))
            if known != (term, command):
                raise Violation(f"{name} committed another entry {index}: term {term}, where {known[0]} was committed")
        if member.applied_index % 16 == 0 and member.applied_index > self._hashed.get(name, 0):
            self._hashed[name] = member.applied_index
            digest = engine.machine.full_hash()
            known_state = self._states.setdefault(member.applied_index, digest)
            if known_state != digest:
                raise Violation(f"{name} has another state after entry {member.applied_index}")
