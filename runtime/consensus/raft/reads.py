"""Linearizable reads without the log: a majority confirms that this member still leads (ReadIndex)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from runtime.consensus.raft.member import Member
from runtime.consensus.raft.messages import Confirmed, Message, Probe

RESEND_S: Final = 0.1


class ReadRounds:
    """One round at a time serves all reads that came before it began; those that come during it wait for the next."""

    def __init__(self, member: Member, *, clock: Callable[[], float]) -> None:
        self._member = member
        self._clock = clock
        self._round = 0
        self._next: list[asyncio.Future[None]] = []
        self._asking: list[asyncio.Future[None]] = []
        self._confirmed_by: set[str] = set()
        self._sent_s = 0.0
        self._index = 0
        self._applying: list[tuple[int, list[asyncio.Future[None]]]] = []

    async def confirm(self) -> None:
        """Returns once everything committed before this call is applied, and leadership was confirmed after it."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append(waiter)
        self.advance()
        await waiter

    def advance(self) -> None:
        """To be called with every tick."""
        member = self._member
        if member.is_leader and member.applied_index >= member.leads_since_index:
            if not self._asking and self._next:
                self._begin()
            elif self._asking and self._clock() - self._sent_s > RESEND_S:
                self._ask()
        while self._applying and self._applying[0][0] <= member.applied_index:
            for waiter in self._applying.pop(0)[1]:
                if not waiter.done():
                    waiter.set_result(None)

    def receive(self, name: str, message: Message) -> bool:
        """False for a message of another kind."""
        member = self._member
        node = member.peer(name)
        if isinstance(message, Probe):
            if node is not None and member.accept_leader(node, message.term):
                member.send(node, Confirmed(message.term, message.round))
        elif isinstance(message, Confirmed):
            if node in member.peers and member.is_leader and message.term == member.term:
                member.heard_s[node] = self._clock()
                if message.round == self._round and self._asking:
                    self._confirmed_by.add(name)
                    self._finish_if_confirmed()
        else:
            return False
        return True

    def fail(self, error: Exception) -> None:
        """This member no longer leads."""
        waiters = [*self._next, *self._asking, *(waiter for _, group in self._applying for waiter in group)]
        self._next, self._asking, self._applying = [], [], []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _begin(self) -> None:
        self._round += 1
        self._asking, self._next = self._next, []
        self._confirmed_by = {self._member.node}
        self._index = self._member.commit_index
        self._ask()
        self._finish_if_confirmed()

    def _ask(self) -> None:
        self._sent_s = self._clock()
        probe = Probe(self._member.term, self._round)
        for node in self._member.other_voters:
            self._member.send(node, probe)

    def _finish_if_confirmed(self) -> None:
        member = self._member
        if self._asking and len(self._confirmed_by & member.voters) >= member.quorum:
            self._applying.append((self._index, self._asking))
            self._asking = []
            self.advance()
