"""What a model's turn proposed is gone on with once people have decided. Whether it ever is changes nothing for the
proposal: the gate alone says what becomes of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

import anyio

from agent_api.control_api.turns import Decided
from controllers.conversations.book import ConversationBook
from controllers.conversations.remedies import RunOf, run_of
from controllers.gate.desk import GateDesk
from controllers.gate.proposals import Proposal, ProposalState, read_proposal
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.operations.state import PlanState
from runtime.state import keys

LOOK_S: Final = 5.0  # however quiet the proposals are: some wait for their time
SHOWS_S: Final = 60.0  # after a change was applied, before it is looked whether it helped: figures are of half a minute
RETRY_S: Final = 30.0
ATTEMPTS_MAX: Final = 5  # with 30 s between them a new leader's reasoner has long been there
_OF_MODELS: Final = b'"kind":"model"'

GoOn = Callable[[str, Decided, Actor], Awaitable[None]]


class Following(Protocol):
    """Implemented by StoreCache."""

    async def wait_for(self, revision: Revision) -> None: ...

    async def changed(self, after: Revision, *, among: tuple[str, ...] = ()) -> Revision: ...


class Remedies:
    """`run` is a leader service. Times are counted anew by each leader."""

    def __init__(self, *, desk: GateDesk, state: Following, book: ConversationBook, go_on: GoOn) -> None:
        self._desk = desk
        self._state = state
        self._book = book
        self._go_on = go_on
        self._due_s: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        self._done: set[str] = set()

    async def run(self, fence: Revision) -> None:
        for each in (self._due_s, self._attempts, self._done):
            each.clear()
        await self._state.wait_for(fence)
        seen = fence
        while True:
            await self.look()
            with anyio.move_on_after(LOOK_S):
                seen = await self._state.changed(seen, among=(keys.PROPOSALS,))

    async def look(self) -> None:
        """Goes on with all whose time has come. Raises StoreFault."""
        now_s = self._desk.clock.monotonic_s()
        for proposal, run in list(self._ended()):
            shows_s = SHOWS_S if proposal.state is ProposalState.APPLIED else 0.0
            if now_s >= self._due_s.setdefault(proposal.id, now_s + shows_s):
                await self._settle(proposal, run, now_s)

    def _ended(self) -> Iterator[tuple[Proposal, RunOf]]:
        known = set()
        for item in self._desk.state.items(keys.PROPOSALS):
            identity = keys.parts(item.key)[0]
            known.add(identity)
            if identity in self._done or _OF_MODELS not in item.value:
                continue
            proposal = read_proposal(item.value)
            run = run_of(proposal) if proposal is not None else None
            if proposal is not None and run is not None and not proposal.waits:
                yield proposal, run
        self._done &= known

    async def _settle(self, proposal: Proposal, run: RunOf, now_s: float) -> None:
        """Once, by the person's rights of now; what fails is tried again for a while."""
        if run.conversation in self._book.answering:
            return  # the turn that proposed it may still be writing down how far it came
        behind = proposal.actor.behind
        actor = self._desk.still(PlanState(self._desk.state), behind) if behind is not None else None
        if actor is None or not await self._book.shelf(run.conversation).list(run.shelved):
            self._done.add(proposal.id)
            return
        decided = Decided(number=run.number, proposal=proposal.id, ended=proposal.state)
        try:
            await self._go_on(run.conversation, decided, actor)
        except RuntimeFault as fault:
            attempts = self._attempts[proposal.id] = self._attempts.get(proposal.id, 0) + 1
            self._due_s[proposal.id] = now_s + RETRY_S
            self._desk.log.warning("remedy_not_gone_on_with", proposal=proposal.id, reason=str(fault))
            if attempts < ATTEMPTS_MAX:
                return
        self._done.add(proposal.id)
