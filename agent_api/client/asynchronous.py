"""The client for asyncio: the same as Client, with every call awaited and any number of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from agent_api.client import async_wire
from agent_api.client.answers import AppliedChange, ShownProposal
from agent_api.client.client import DECIDE_S
from agent_api.client.errors import ApiRefused, ApiUnreachable
from agent_api.client.exchange import Pause, Retry, Step, Talk, awake
from agent_api.client.message import HttpReply, HttpRequest, Unreached
from agent_api.client.operations import AsyncOperations
from agent_api.client.requests import ChangeOptions, Members
from agent_api.client.sse import Event, EventLines
from agent_api.client.talks import Outcome, Talks, Verb
from agent_api.client.uploads import read_wheel
from controllers.gate.proposals import Proposal
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Planned, Proposed
from runtime.operations.operation import Result

T = TypeVar("T")


class AsyncPendingChange:
    """A change that waits for people to approve it. `proposed` is what the gate said."""

    def __init__(self, client: AsyncClient, proposed: Proposed) -> None:
        self._client = client
        self.proposed = proposed

    @property
    def id(self) -> str:
        return self.proposed.proposal

    async def wait(self, timeout_s: float = DECIDE_S) -> Proposal:
        """The proposal once it is applied and has taken hold, or is rejected, expired, stale or withdrawn. Raises
        WaitedInVain."""
        return await self._client.perform(self._client.talks.settled(self.id, timeout_s))

    async def now(self) -> ShownProposal:
        """As it stands."""
        return await self._client.perform(self._client.talks.shown(self.id))

    async def withdraw(self, reason: str = "") -> Proposal:
        return await self._client.decide(self.id, "withdraw", reason)


class AsyncClient(AsyncOperations):
    """`await client.slice.scale(slice="orders", instances=5)`; see Client for what the methods do and raise."""

    def __init__(
        self, *addresses: str, key: str = "", retry: Retry | None = None, catalogue: Catalogue | None = None
    ) -> None:
        """addresses: HOST:PORT of the APIs of one cluster; the next one is asked when one does not answer."""
        self.talks = Talks(addresses, key=key, retry=retry, catalogue=catalogue)

    async def submit(
        self, operation: str, members: Members, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | AsyncPendingChange:
        """A change by its name. The same idempotency key goes with every repetition."""
        return self._handed(await self.perform(self.talks.submit(operation, members, options or ChangeOptions())))

    async def ask(self, operation: str, members: Members) -> Result:
        """A question by its name: its result, or the first page of it."""
        return await self.perform(self.talks.ask(operation, members))

    async def pages(self, operation: str, members: Members) -> AsyncIterator[Result]:
        """Every page of a list."""
        cursor = str(members.get("cursor", ""))
        while True:
            asked = {**members, "cursor": cursor} if cursor else members
            result, cursor = await self.perform(self.talks.page(operation, asked))
            yield result
            if not cursor:
                return

    async def find_proposal(self, identity: str) -> Proposal:
        return await self.perform(self.talks.proposal(identity))

    async def decide(self, identity: str, verb: Verb, reason: str = "") -> Proposal:
        """Approves, rejects or withdraws a proposal."""
        return await self.perform(self.talks.decide(identity, verb, reason))

    async def approve(self, identity: str, reason: str = "") -> Proposal:
        return await self.decide(identity, "approve", reason)

    async def reject(self, identity: str, reason: str = "") -> Proposal:
        return await self.decide(identity, "reject", reason)

    async def rollback(
        self, identity: str, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | AsyncPendingChange:
        """Submits the inverse of an applied proposal."""
        return self._handed(await self.perform(self.talks.rollback(identity, options or ChangeOptions())))

    async def undo(
        self, audit: str, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | AsyncPendingChange:
        """Submits the inverse of the change with that audit record."""
        return self._handed(await self.perform(self.talks.undo(audit, options or ChangeOptions())))

    async def upload(
        self, wheel: Path, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | AsyncPendingChange:
        """Sends a wheel, read in small pieces between which others run. Raises FileUnreadable too."""
        return self._handed(await self.perform(self.talks.upload(read_wheel(wheel), options or ChangeOptions())))

    async def upload_model(
        self, model: Path, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | AsyncPendingChange:
        """As of the other client."""
        return self._handed(await self.perform(self.talks.upload_model(read_wheel(model), options or ChangeOptions())))

    async def learn(self) -> tuple[str, ...]:
        """The API addresses of all nodes, asked from now on when those known before do not answer."""
        return await self.perform(self.talks.learn())

    def events(self, *, after: str = "") -> AsyncIterator[Event]:
        """Events as they happen, behind that id; without end, over whichever node answers."""
        return self._followed("/v1/events", after)

    def watch(self, prefix: str, *, after: str = "") -> AsyncIterator[Event]:
        """Changes of the state's keys with that prefix."""
        return self._followed(f"/v1/watch/{quote(prefix)}", after)

    async def request(self, request: HttpRequest) -> HttpReply:
        """Any request, whatever status comes. Raises ApiUnreachable."""
        return await self.perform(self.talks.send(request))

    async def perform(self, talk: Talk[T]) -> T:
        """Carries out the steps of what `talks` offers."""
        try:
            step = next(talk)
            while True:
                step = talk.send(await self._carry_out(step))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _carry_out(self, step: Step) -> HttpReply | Unreached | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        return await async_wire.send(step.address, step.request)

    def _handed(self, outcome: Outcome) -> AppliedChange | Planned | AsyncPendingChange:
        return AsyncPendingChange(self, outcome) if isinstance(outcome, Proposed) else outcome

    async def _followed(self, path: str, after: str) -> AsyncIterator[Event]:
        lines, rounds = EventLines(after), 0
        while True:
            await self.perform(awake(self.talks.book))
            address = self.talks.book.current
            fault: ApiUnreachable | ApiRefused = ApiUnreachable(address, "the stream ended")
            try:
                async for line in async_wire.stream(address, self.talks.with_key(lines.request(path))):
                    rounds = 0
                    event = lines.take(line)
                    if event is not None:
                        yield event
            except (ApiUnreachable, ApiRefused) as error:
                fault = error
            rounds += 1
            pause_s = self.talks.stream_pause_s(rounds, fault)
            if pause_s is None:
                raise fault
            await asyncio.sleep(pause_s)
            self.talks.book.rotate()
