"""The engine on a raft member: ticks it, waits for results, confirms reads, lets time pass for leases."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus.machine import Machine
from runtime.consensus.raft.core import SUCCESS
from runtime.consensus.raft.journal import Journal, sync_directory
from runtime.consensus.raft.member import Member, Timing
from runtime.consensus.raft.reads import ReadRounds
from runtime.consensus.raft.transport import RaftTransport, Wire
from runtime.consensus.signal import Signal
from runtime.consensus.store import Revision, StoreStatus

TICK_S: Final = 0.02
LEASE_TICK_S: Final = 0.25
LEASE_TICK_MS_MAX: Final = 1_000  # a leader that slept longer lets leases last longer: their keep-alives slept too
PROPOSE_S: Final = 2.0
PENDING_MAX: Final = 4_096  # proposals that wait for the log; 4 MiB at 1 KiB each
_STATE_FILE: Final = "state.bin"
_LOG_FILE: Final = "log.bin"
_MEMBERS_FILE: Final = "members.json"

Note = Callable[[str, dict[str, object]], None]


class RaftEngine:
    """Implements MemberEngine. Everything happens on one loop; `run` drives it."""

    def __init__(
        self,
        *,
        node: str,
        directory: Path,
        members: dict[str, str],
        wire: Wire,
        timing: Timing,
        first: bool,
        note: Note,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.machine = Machine()
        self.changes = Signal()
        self.machine.changed = self.changes.fire
        self._directory = directory
        self._note = note
        self._clock = clock
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = self._read_members() or members
        journal = Journal(directory / _LOG_FILE)
        joining = not first and len(journal) == 0 and not (directory / _STATE_FILE).exists()
        self.transport = RaftTransport(wire, known, self._write_members)
        self._write_members(known)
        self.member = Member(
            node=node,
            journal=journal,
            state_file=directory / _STATE_FILE,
            transport=self.transport,
            machine=self.machine,
            timing=timing,
            clock=clock,
            joining=joining,
            state_changed=self._state_changed,
            note=note,
        )
        journal.sync()
        self._reads = ReadRounds(self.member, wire, clock=clock)
        self._pending: set[asyncio.Future[c.Result]] = set()
        self._woken = False
        self._led = False
        self._leader = ""
        self._leases_at_s = clock()
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Completes with the error of a tick that failed: a full or broken disk. The process must end then."""
        self.transport.open(node)

    # -- Engine --------------------------------------------------------------------------------------------------------

    async def propose(self, command: bytes) -> c.Result:
        self._must_lead()
        if len(self._pending) >= PENDING_MAX:
            raise e.Overloaded(f"{PENDING_MAX} changes are waiting for the log")
        waiter: asyncio.Future[c.Result] = self._loop.create_future()

        def done(result: c.Result | None, reason: int) -> None:
            if waiter.done():
                return
            if reason == SUCCESS and result is not None:
                waiter.set_result(result)
            else:
                waiter.set_exception(e.NotLeader(self.leader()))

        self._pending.add(waiter)
        self.member.propose(command, done)
        self.wake()
        try:
            async with asyncio.timeout(PROPOSE_S):
                return await waiter
        except TimeoutError:
            raise e.NoQuorum("no majority confirmed the change in time; it may yet be applied") from None
        finally:
            self._pending.discard(waiter)

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
            members=tuple(sorted(self.transport.members)),
            has_quorum=member.leader != "" and (not member.is_leader or member.heard_from_majority(2.0)),
        )

    # -- members -------------------------------------------------------------------------------------------------------

    def members(self) -> dict[str, str]:
        return dict(self.transport.members)

    async def add_member(self, node: str, address: str) -> None:
        if self.transport.members.get(node) != address:
            await self._change("add", node, address)

    async def remove_member(self, node: str) -> None:
        if node == self.node:
            raise e.InvalidRequest("the leader cannot remove itself; stop it, and remove it through its successor")
        if node in self.transport.members:
            await self._change("rem", node, self.transport.members[node])

    async def _change(self, change: str, node: str, address: str) -> None:
        """Returns once the leader works with the new members; the entry commits when a majority of them runs."""
        self._must_lead()
        accepted: asyncio.Future[int] = self._loop.create_future()

        def done(_result: object, reason: int) -> None:
            if not accepted.done():
                accepted.set_result(reason)
                self.changes.fire()

        self.member.propose_change(change, node, address, done)
        self.wake()
        async with asyncio.timeout(PROPOSE_S):
            while (node in self.transport.members) != (change == "add") and not accepted.done():
                await self.changes.after(self.changes.count)
        if accepted.done() and accepted.result() != SUCCESS:
            raise e.StoreUnavailable("an earlier change of members is not committed yet; try again")
        self._note("members_changed", {"change": change, "member": node})

    # -- driving -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ends only with an error: a tick that failed must end the process."""
        while True:
            self._tick()
            if self.failed.done():
                self.failed.result()
            await asyncio.sleep(TICK_S)

    def wake(self) -> None:
        """A tick soon: after a message or a proposal."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._tick)

    def received(self, peer: str, raw: bytes) -> None:
        if self._reads.received(peer, raw) or self.transport.received(peer, raw):
            self.wake()

    def close(self) -> None:
        self.transport.destroy()
        self.member.destroy()

    def _tick(self) -> None:
        self._woken = False
        if self.failed.done():
            return
        before = self.member.commit_index, self.member.last_index
        try:
            self.member.tick()
        except Exception as error:  # a full disk, damage: nothing may be acknowledged from here on
            self.failed.set_exception(error)
            return
        self._reads.advance()
        self._let_time_pass()
        grown_alone = not self.member.others and self.member.last_index != before[1]
        if self.member.commit_index != max(before[0], self.member.applied_index) or grown_alone:
            self.wake()  # there is more to do at once: to apply, to tell, or, without others, to commit
        if self.member.leader != self._leader:
            self._leader = self.member.leader
            self._note("leader_changed", {"leader": self._leader, "term": self.member.term})
            self.changes.fire()

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

    def _state_changed(self) -> None:
        leads = self.member.is_leader
        if leads and not self._led:
            self._leases_at_s = self._clock()
            self.member.propose(c.encode(c.Envelope(c.Lead(self.node))), _nobody_waits)
        if self._led and not leads:
            for waiter in tuple(self._pending):
                if not waiter.done():
                    waiter.set_exception(e.NotLeader(self.leader()))
            self._reads.fail(e.NotLeader(self.leader()))
        self._led = leads
        self.changes.fire()

    def _must_lead(self) -> None:
        if self.failed.done():
            raise e.StoreUnavailable("this member's disk failed")
        if not self.member.is_leader:
            raise e.NotLeader(self.leader())

    # -- members.json ------------------------------------------------------------------------------------------

    def _read_members(self) -> dict[str, str]:
        try:
            return msgspec.json.decode((self._directory / _MEMBERS_FILE).read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}

    def _write_members(self, members: dict[str, str]) -> None:
        path = self._directory / _MEMBERS_FILE
        temporary = path.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(dict(sorted(members.items())), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(self._directory)
        self.changes.fire()


def _nobody_waits(_result: c.Result | None, _reason: int) -> None:
    """For commands whose effect is all that matters."""
