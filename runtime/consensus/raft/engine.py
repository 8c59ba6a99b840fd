"""The engine on a raft member: ticks it, waits for results, confirms reads, lets time pass for leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from runtime.clock import SystemClock
from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.digest import Digest
from runtime.consensus.figures import Recorder, StoreFigures
from runtime.consensus.limits import check_command
from runtime.consensus.machine import Machine
from runtime.consensus.raft.disk import Disk, RealDisk
from runtime.consensus.raft.inspection import check_promotion, check_removal, figures_of
from runtime.consensus.raft.log import SEGMENT_BYTES, Log, Owner
from runtime.consensus.raft.member import COMMIT_LAG_S, Member
from runtime.consensus.raft.membership import Change, Members
from runtime.consensus.raft.messages import Message, MessageUnreadable, decode, encode
from runtime.consensus.raft.proposals import PROPOSE_S, Outcome, Proposals, Told
from runtime.consensus.raft.reads import ReadRounds
from runtime.consensus.raft.replica import ENTRIES_MAX, SNAPSHOT_EVERY, SNAPSHOT_KEPT, Note, Parts, Timing
from runtime.consensus.raft.snapshot import NAME as SNAPSHOT_NAME
from runtime.consensus.raft.wire import Wire
from runtime.consensus.raft.writer import ThreadWriter, Writer
from runtime.consensus.signal import Signal
from runtime.consensus.store import Revision, StoreStatus

TICK_S: Final = 0.02
LEASE_TICK_S: Final = 0.25
LEASE_TICK_MS_MAX: Final = 500  # a leader that slept longer lets leases last longer: their keep-alives slept too
PENDING_MAX: Final = 4_096  # proposals that wait for the log; 4 MiB at 1 KiB each
CAUGHT_UP: Final = 100  # entries behind at most: then a learner may become a voter
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """What an engine is made of. `disk` and `writer` are real ones in `directory` unless simulation gives its own."""

    node: str
    cluster: str
    directory: Path
    bootstrap: Members
    wire: Wire
    note: Note
    timing: Timing = field(default_factory=Timing)
    clock: Callable[[], float] = time.monotonic
    disk: Disk | None = None
    writer: Writer | None = None
    segment_bytes: int = SEGMENT_BYTES
    entries_max: int = ENTRIES_MAX
    snapshot_every: int = SNAPSHOT_EVERY
    snapshot_kept: int = SNAPSHOT_KEPT


class RaftEngine:
    """Implements MemberEngine. Everything but writing the log happens on one loop; `run` drives it."""

    def __init__(self, parts: EngineParts) -> None:
        self.node = parts.node
        self.machine = Machine()
        self.changes = Signal()
        self.machine.changed = self.changes.fire
        self._wire = parts.wire
        self.snapshots = Signal()
        """Fires when there is a newer snapshot on disk."""
        self.recorder = Recorder(
            parts.note, {"snapshot_written": self.snapshots.fire, "snapshot_installed": self.snapshots.fire}
        )
        self._note = self.recorder.note
        self._proposals = Proposals(clock=parts.clock, leader=self.leader, took=self.recorder.commit.record)
        self._clock = parts.clock
        self._loop = asyncio.get_running_loop()
        self._directory = parts.directory
        self._disk = parts.disk or RealDisk(parts.directory)
        self._writer = parts.writer or ThreadWriter(self._disk, self._loop)
        self._woken = self._led = self._will_tell = False
        self._snapshot_wanted = 0
        self._leader = ""
        self._leases_at_s = parts.clock()
        self._opened: dict[str, str] = {}
        self._unreadable_from: set[str] = set()
        self._strangers: set[str] = set()  # both by name of a certificate that the cluster issued, so they are few
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Completes with the error of a tick that failed: a full or broken disk. The process must end then."""
        self.begun: asyncio.Future[None] = self._loop.create_future()
        """Completes once something of this run's log is on disk, or has failed to get there."""
        self.log = Log(
            self._disk, self._writer, Owner(FORMAT, parts.cluster, parts.node), segment_bytes=parts.segment_bytes
        )
        self.member = Member(
            Parts(
                node=parts.node,
                cluster=parts.cluster,
                bootstrap=parts.bootstrap,
                log=self.log,
                disk=self._disk,
                machine=self.machine,
                timing=parts.timing,
                clock=parts.clock,
                send=self._send,
                note=self._note,
                state_changed=self._state_changed,
                members_changed=self._members_changed,
                entries_max=parts.entries_max,
                snapshot_every=parts.snapshot_every,
                snapshot_kept=parts.snapshot_kept,
            )
        )
        self._reads = ReadRounds(self.member, clock=parts.clock)
        self.log.synced_changed = self._synced
        self.log.flush()

    # -- Engine --------------------------------------------------------------------------------------------------------

    async def propose(self, command: bytes) -> c.Result:
        waiter: asyncio.Future[c.Result] = self._loop.create_future()
        self.submit(command, lambda outcome: _settle(waiter, outcome))
        return await waiter

    def submit(self, command: bytes, told: Told) -> None:
        """As `propose`, but `told` is called with the result or the error. Raises NotLeader, Overloaded, TooLarge and
        StoreUnavailable, after which it is not called."""
        check_command(command)
        self._must_lead()
        if len(self._proposals) >= PENDING_MAX:
            raise e.Overloaded(f"{PENDING_MAX} changes are waiting for the log")
        self.member.propose(command, self._proposals.add(told))
        self.wake()

    async def confirm(self) -> None:
        self._must_lead()
        try:
            async with asyncio.timeout(PROPOSE_S):
                await self._reads.confirm()
        except TimeoutError:
            raise e.NoQuorum("a majority did not confirm in time that this node leads") from None

    def leader(self) -> str:
        return self.member.leader

    async def status(self) -> StoreStatus:
        member = self.member
        return StoreStatus(
            node=self.node,
            leader=member.leader,
            term=member.term,
            revision=Revision(self.machine.revision),
            members=tuple(sorted(member.voters)),
            has_quorum=member.leader != "",
            learners=tuple(sorted(member.members.keys() - member.voters)),
            commit_index=member.commit_index,
            applied_index=member.applied_index,
            last_index=self.log.last_index,
            log_bytes=self.log.bytes_on_disk,
            snapshot_index=member.snapshot.index if member.snapshot else 0,
            lag=member.lag,
        )

    def figures(self) -> StoreFigures:
        snapshot = self._directory / SNAPSHOT_NAME
        return figures_of(
            self.member,
            self.recorder,
            pending=len(self._proposals),
            snapshot_file=snapshot.stat() if snapshot.exists() else None,
            now_unix_ms=SystemClock().unix_ms(),
        )

    # -- snapshots and digests -----------------------------------------------------------------------------------------

    async def fresh_snapshot(self, at_least: Revision) -> BinaryIO:
        """The file of a snapshot that includes that revision, open; one is written unless the newest does."""
        while self.machine.revision < at_least:
            await self.changes.after(self.changes.count)
        wanted = self.member.applied_index
        self._snapshot_wanted = max(self._snapshot_wanted, wanted)
        self.wake()
        while self._snapshot_index() < wanted:
            await self.snapshots.after(self.snapshots.count)
        return (self._directory / SNAPSHOT_NAME).open("rb")

    async def digest(self, nonce: str) -> Digest:
        """What this member computed for that check, once it has come to it."""
        while (found := self.machine.digest) is None or found.nonce != nonce:
            await self.changes.after(self.changes.count)
        return found

    def _snapshot_index(self) -> int:
        return self.member.snapshot.index if self.member.snapshot is not None else 0

    # -- members -------------------------------------------------------------------------------------------------------

    def members(self) -> dict[str, str]:
        return {name: peer.address for name, peer in self.member.members.items()}

    async def add_member(self, node: str, address: str, *, rises: bool = True) -> None:
        """As a learner; with `rises` it gets a vote by itself once it has caught up."""
        known = self.member.members.get(node)
        if known is None or known.address != address:
            await self._change(Change("add", node, address, rises))

    async def promote_member(self, node: str) -> None:
        self._must_lead()
        known = self.member.members.get(node)
        if known is None or not known.votes:
            check_promotion(self.member, node, behind_max=CAUGHT_UP)
            await self._change(Change("promote", node))

    async def remove_member(self, node: str) -> None:
        if node not in self.member.members:
            return
        if node == self.node and self.member.is_leader and len(self.member.voters) > 1:
            self.hand_over()
            raise e.NotLeader("")  # its successor removes it: the client asks again
        self._must_lead()
        check_removal(self.member, node)
        await self._change(Change("remove", node))

    def hand_over(self, to: str = "") -> str:
        """Asks a voter that has the whole log to lead instead: `to`, or any. Gives whom; empty when none has it."""
        candidates = [to] if to else sorted(self.member.voters - {self.node})
        return next((name for name in candidates if self.member.transfer(name)), "")

    async def transfer(self, to: str) -> str:
        """Returns whom it asked, once this member has stopped leading. Raises InvalidRequest, NotLeader."""
        self._must_lead()
        if to == self.node:
            return to
        if to and to not in self.member.voters:
            raise e.InvalidRequest(f"{to} has no vote; voters are {', '.join(sorted(self.member.voters))}")
        asked = self.hand_over(to)
        if not asked:
            raise e.InvalidRequest(
                f"{to or 'no other voter'} is connected and has the whole log; try again in a moment"
            )
        async with asyncio.timeout(PROPOSE_S):
            while self.member.is_leader:
                await self.changes.after(self.changes.count)
        return asked

    async def _change(self, change: Change) -> None:
        """Returns once it is committed by the members that are after it."""
        self._must_lead()
        waiter: asyncio.Future[c.Result] = self._loop.create_future()
        try:
            self.member.propose_change(change, self._proposals.add(lambda outcome: _settle(waiter, outcome)))
        except e.InvalidRequest as refusal:
            waiter.cancel()  # its time will pass without anybody waiting
            raise refusal
        self.wake()
        await waiter
        self._note("members_changed", {"change": change.kind, "member": change.node})

    def _raise_learners(self) -> None:
        member = self.member
        for name in sorted(member.members.keys() - member.voters):
            peer = member.peer(name)
            if peer not in member.connected or not member.members[name].rises:
                continue
            if member.match_index[peer] >= max(self.log.last_index - CAUGHT_UP, member.change_index):
                try:
                    member.propose_change(Change("promote", name), lambda _result: None)
                except e.InvalidRequest:
                    return  # another change is under way
                self._note("members_changed", {"change": "promote", "member": name})
                return

    # -- driving -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ends only with an error: a tick that failed must end the process."""
        while True:
            self.tick()
            if self.failed.done():
                self.failed.result()
            await asyncio.sleep(TICK_S)

    def wake(self) -> None:
        """A tick soon: after a message or a proposal."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self.tick)

    def received(self, peer: str, raw: bytes) -> None:
        try:
            message = decode(raw)
        except MessageUnreadable as error:
            if peer not in self._unreadable_from:
                self._unreadable_from.add(peer)
                self._note("message_unreadable", {"member": peer, "error": str(error)})
            return
        if self.failed.done():
            return
        if self.member.peer(peer) is None and peer not in self._strangers:
            self._strangers.add(peer)
            self._note("stranger_ignored", {"node": peer, "message": type(message).__name__})
        try:
            if not self._reads.receive(peer, message):
                self.member.receive(peer, message)
        except Exception as error:
            self._fail(error)
            return
        self.wake()

    def connected(self, peer: str) -> None:
        self.member.connect(peer)
        self.wake()

    def disconnected(self, peer: str) -> None:
        self.member.disconnect(peer)
        self.wake()

    def close(self) -> None:
        for name in tuple(self._opened):
            self._wire.close(name)
        self._writer.close()
        self._disk.close()

    def tick(self) -> None:
        self._woken = False
        if self.failed.done():
            return
        try:
            self.member.tick()
            if self._snapshot_index() < self._snapshot_wanted:
                self.member.write_snapshot(now=True)
            self._reads.advance()
            self._proposals.expire()
            self._let_time_pass()
            if self.member.is_leader and len(self.member.voters) < len(self.member.members):
                self._raise_learners()
        except Exception as error:  # a full disk, damage: nothing may be acknowledged from here on
            self._fail(error)
            return
        if self.member.has_more:
            self.wake()
        elif self.member.owes_commit and not self._will_tell:
            self._will_tell = True
            self._loop.call_later(COMMIT_LAG_S, self._tell_commit)
        if self.machine.digesting is not None:
            if self.machine.digest_some():
                self.wake()
            else:
                self.changes.fire()
        if self.member.leader != self._leader:
            self._leader = self.member.leader
            self._note("leader_changed", {"leader": self._leader, "term": self.member.term})
            self.changes.fire()

    def _tell_commit(self) -> None:
        self._will_tell = False
        self.tick()

    def _synced(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)
        if self.log.failed is not None:
            self._fail(self.log.failed)
            return
        self.recorder.fsync.record(int(self.log.sync_s * 1e6))
        self.member.release()
        self.wake()

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _let_time_pass(self) -> None:
        if not self.member.is_leader:
            return
        elapsed_s = self._clock() - self._leases_at_s
        if elapsed_s < LEASE_TICK_S:
            return
        self._leases_at_s += elapsed_s
        if self.machine.leases:
            elapsed_ms = min(int(elapsed_s * 1_000), LEASE_TICK_MS_MAX)
            self.member.propose(c.encode(c.Envelope(c.Tick(elapsed_ms))), _nobody_waits)
            self.wake()

    def _state_changed(self) -> None:
        leads = self.member.is_leader
        if leads and not self._led:
            self._leases_at_s = self._clock()
            self.member.propose(c.encode(c.Envelope(c.Lead(self.node))), _nobody_waits)
            self.wake()
        if self._led and not leads:
            self.member.fail_waiting()
            self._proposals.fail()
            self._reads.fail(e.NotLeader(self.leader()))
        self._led = leads
        self.changes.fire()

    def _must_lead(self) -> None:
        if self.failed.done():
            raise e.StoreUnavailable("this member's disk failed")
        if not self.member.is_leader:
            raise e.NotLeader(self.leader())

    # -- inside --------------------------------------------------------------------------------------------------------

    def _send(self, node: str, message: Message) -> bool:
        return self._wire.send(node, encode(message))

    def _members_changed(self, wanted: dict[str, str]) -> None:
        for name in [name for name, address in self._opened.items() if wanted.get(name) != address]:
            self._wire.close(name)
            del self._opened[name]
        for name, address in wanted.items():
            if name not in self._opened:
                self._opened[name] = address
                self._wire.open(name, address)
        self.changes.fire()


def _settle(waiter: asyncio.Future[c.Result], outcome: Outcome) -> None:
    if waiter.done():
        return  # nobody waits any more
    if isinstance(outcome, e.StoreFault):
        waiter.set_exception(outcome)
    else:
        waiter.set_result(outcome)


def _nobody_waits(_result: c.Result | None) -> None:
    """For commands whose effect is all that matters."""
