"""The client for plain code and scripts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

from agent_api.client.answers import AppliedChange, ShownProposal
from agent_api.client.errors import ApiRefused, ApiUnreachable
from agent_api.client.exchange import Pause, Retry, Step, Talk, awake
from agent_api.client.message import HttpReply, HttpRequest, Unreached
from agent_api.client.operations import Operations
from agent_api.client.requests import ChangeOptions, Members, turn_request
from agent_api.client.sse import Event, EventLines
from agent_api.client.sync_wire import SyncWire
from agent_api.client.talks import Outcome, Talks, Verb
from agent_api.client.uploads import Told, read_wheel
from controllers.gate.proposals import Proposal
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Planned, Proposed
from runtime.operations.operation import Result

DECIDE_S: float = 3_600.0  # as long as a proposal of class 2 waits

T = TypeVar("T")


class PendingChange:
    """A change that waits for people to approve it. `proposed` is what the gate said."""

    def __init__(self, client: Client, proposed: Proposed) -> None:
        self._client = client
        self.proposed = proposed

    @property
    def id(self) -> str:
        return self.proposed.proposal

    def wait(self, timeout_s: float = DECIDE_S) -> Proposal:
        """The proposal once it is applied and has taken hold, or is rejected, expired, stale or withdrawn. Raises
        WaitedInVain."""
        return self._client.perform(self._client.talks.settled(self.id, timeout_s))

    def now(self) -> ShownProposal:
        """As it stands."""
        return self._client.perform(self._client.talks.shown(self.id))

    def withdraw(self, reason: str = "") -> Proposal:
        return self._client.decide(self.id, "withdraw", reason)


class Client(Operations):
    """`client.slice.scale(slice="orders", instances=5)` submits the catalogue's operation slice.scale, and so on.

    Every method raises ApiRefused with the API's own code and remedy, or ApiUnreachable when no address answers. For
    one thread at a time.
    """

    def __init__(
        self, *addresses: str, key: str = "", retry: Retry | None = None, catalogue: Catalogue | None = None
    ) -> None:
        """addresses: HOST:PORT of the APIs of one cluster; the next one is asked when one does not answer."""
        self.talks = Talks(addresses, key=key, retry=retry, catalogue=catalogue)
        self._wire = SyncWire()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    def submit(
        self, operation: str, members: Members, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | PendingChange:
        """A change by its name. The same idempotency key goes with every repetition."""
        return self._handed(self.perform(self.talks.submit(operation, members, options or ChangeOptions())))

    def ask(self, operation: str, members: Members) -> Result:
        """A question by its name: its result, or the first page of it."""
        return self.perform(self.talks.ask(operation, members))

    def pages(self, operation: str, members: Members) -> Iterator[Result]:
        """Every page of a list."""
        cursor = str(members.get("cursor", ""))
        while True:
            asked = {**members, "cursor": cursor} if cursor else members
            result, cursor = self.perform(self.talks.page(operation, asked))
            yield result
            if not cursor:
                return

    def find_proposal(self, identity: str) -> Proposal:
        return self.perform(self.talks.proposal(identity))

    def decide(self, identity: str, verb: Verb, reason: str = "") -> Proposal:
        """Approves, rejects or withdraws a proposal."""
        return self.perform(self.talks.decide(identity, verb, reason))

    def approve(self, identity: str, reason: str = "") -> Proposal:
        return self.decide(identity, "approve", reason)

    def reject(self, identity: str, reason: str = "") -> Proposal:
        return self.decide(identity, "reject", reason)

    def rollback(self, identity: str, options: ChangeOptions | None = None) -> AppliedChange | Planned | PendingChange:
        """Submits the inverse of an applied proposal."""
        return self._handed(self.perform(self.talks.rollback(identity, options or ChangeOptions())))

    def undo(self, audit: str, options: ChangeOptions | None = None) -> AppliedChange | Planned | PendingChange:
        """Submits the inverse of the change with that audit record."""
        return self._handed(self.perform(self.talks.undo(audit, options or ChangeOptions())))

    def upload(
        self, wheel: Path, options: ChangeOptions | None = None, told: Told = lambda done, total: None
    ) -> AppliedChange | Planned | PendingChange:
        """Sends a wheel; told is called as its bytes go. Raises FileUnreadable too."""
        return self._handed(self.perform(self.talks.upload(read_wheel(wheel, told), options or ChangeOptions())))

    def upload_model(
        self, model: Path, options: ChangeOptions | None = None
    ) -> AppliedChange | Planned | PendingChange:
        """Sends a model that forecasts, in one file with its card. Raises FileUnreadable too."""
        return self._handed(self.perform(self.talks.upload_model(read_wheel(model), options or ChangeOptions())))

    def learn(self) -> tuple[str, ...]:
        """The API addresses of all nodes, asked from now on when those known before do not answer."""
        return self.perform(self.talks.learn())

    def events(self, *, after: str = "") -> Iterator[Event]:
        """Events as they happen, behind that id; without end, over whichever node answers."""
        return self._followed("/v1/events", after)

    def watch(self, prefix: str, *, after: str = "") -> Iterator[Event]:
        """Changes of the state's keys with that prefix."""
        return self._followed(f"/v1/watch/{quote(prefix)}", after)

    def say(self, text: str, *, conversation: str = "") -> Iterator[Event]:
        """What is answered to a sentence or a /command, event by event; `data` has each one's `type`. `begun` tells the
        conversation's id, to be given with the next. Another address is tried only while nothing came."""
        request = self.talks.with_key(turn_request(text, conversation))
        lines = EventLines()
        self.perform(awake(self.talks.book))
        for left in reversed(range(len(self.talks.book))):
            began = False
            try:
                for line in self._wire.stream(self.talks.book.current, request):
                    began = True
                    if (event := lines.take(line)) is not None:
                        yield event
            except ApiUnreachable:
                if began or not left:
                    raise
                self.talks.book.rotate()
            else:
                return

    def request(self, request: HttpRequest) -> HttpReply:
        """Any request, whatever status comes. Raises ApiUnreachable."""
        return self.perform(self.talks.send(request))

    def perform(self, talk: Talk[T]) -> T:
        """Carries out the steps of what `talks` offers."""
        try:
            step = next(talk)
            while True:
                step = talk.send(self._carry_out(step))
        except StopIteration as end:
            result: T = end.value
            return result

    def _carry_out(self, step: Step) -> HttpReply | Unreached | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._wire.send(step.address, step.request)

    def _handed(self, outcome: Outcome) -> AppliedChange | Planned | PendingChange:
        return PendingChange(self, outcome) if isinstance(outcome, Proposed) else outcome

    def _followed(self, path: str, after: str) -> Iterator[Event]:
        lines, rounds = EventLines(after), 0
        while True:
            self.perform(awake(self.talks.book))
            address = self.talks.book.current
            fault: ApiUnreachable | ApiRefused = ApiUnreachable(address, "the stream ended")
            try:
                for line in self._wire.stream(address, self.talks.with_key(lines.request(path))):
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
            time.sleep(pause_s)
            self.talks.book.rotate()
