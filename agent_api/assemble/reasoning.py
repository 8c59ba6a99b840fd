"""The reasoner as control sees it: started on the leader when somebody first says something; nothing else needs it.

A connection to it lives for one turn, and offers it what the person whose turn that is may know. So the process holds
no key, and what it can do ends with the turn.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import anyio
import msgspec

from agent_api.assemble.model_verbs import Verb, model_verbs
from agent_api.assemble.shelving import shelf_verbs
from agent_api.control_api.turns import (
    ASK,
    AWAKE,
    PLAN,
    PROPOSE,
    TURN,
    Asked,
    Decided,
    ReasonerAbsent,
    ReasonerDesk,
    Replied,
    Said,
    Turn,
    Wanted,
)
from controllers.conversations.book import Begun, ConversationBook
from controllers.conversations.records import Postponed
from controllers.model_budget.keeper import BudgetKeeper
from runtime.cluster.layout import NodeLayout
from runtime.cluster.membership import Lines
from runtime.cluster.supervision import SupervisorClient
from runtime.consensus.store import Revision
from runtime.errors import RuntimeFault
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, NotStarted, RemoteFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import connect_unix
from runtime.names import NodeId
from runtime.operations.actor import Actor

PROCESS: Final = "reasoner"
MODULE: Final = "agent_api.assemble.reasoner"
ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
FORWARDED: Final = "_control/turn"
START_S: Final = 20.0  # its imports take two seconds of an idle core; a machine may be busy
AWAKE_S: Final = 40.0  # more than the one word may take
MODEL: Final = "model"
LOOK_S: Final = 0.1
STOP_GRACE_S: Final = 2.0

Connect = Callable[[NodeId], Awaitable[Connection]]


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What of a turn's last event matters here."""

    answered_by: str = ""


class _Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that came to another node. Its door has found out whose it is."""

    turn: Turn
    actor: Actor


class ReasonerLink:
    """Implements Reasoner on every node. `run` is a leader service; `desk` is set once the API is there."""

    def __init__(
        self,
        *,
        node: NodeId,
        leader: Callable[[], str],
        connect: Connect,
        book: ConversationBook,
        budget: BudgetKeeper,
        layout: NodeLayout,
        log: Lines,
    ) -> None:
        self._node = node
        self._leader = leader
        self._connect = connect
        self._book = book
        self._budget = budget
        self._socket = layout.socket(PROCESS)
        self._supervisor = SupervisorClient(layout.socket("supervisor"))
        self._starting = anyio.Lock()
        self._log = log
        self.desk: ReasonerDesk | None = None

    def offer(self, handlers: Handlers) -> None:
        handlers.streams[FORWARDED] = self._forwarded

    async def run(self, _fence: Revision) -> None:
        """Ends the process with the leadership: the next leader has one of its own when it is asked."""
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_GRACE_S * 2):
                await self._stop()

    async def turn(self, turn: Turn, actor: Actor) -> AsyncIterator[bytes]:
        """Raises ReasonerAbsent, ConversationFault, StoreFault, and these as RemoteFault from another node."""
        leader = self._leader()
        if not leader:
            raise ReasonerAbsent("no node leads at the moment, and the leader answers")
        events = self._here(turn, actor) if leader == self._node else self._there(leader, turn, actor)
        async with aclosing(events):
            async for each in events:
                yield each

    async def _there(self, leader: str, turn: Turn, actor: Actor) -> AsyncGenerator[bytes]:
        forwarded = msgspec.msgpack.encode(_Forwarded(turn=turn, actor=actor))
        try:
            connection = await self._connect(NodeId(leader))
            async with aclosing(connection.stream(FORWARDED, forwarded)) as stream:
                async for each in stream:
                    yield each
        except RemoteFault:
            raise  # the leader's own words
        except CallFault as fault:
            raise ReasonerAbsent(f"the leader, which answers, is gone: {fault}") from fault

    async def _forwarded(self, call: IncomingCall) -> AsyncIterator[bytes]:
        asked = msgspec.msgpack.decode(call.payload, type=_Forwarded)
        if self._leader() != self._node:
            raise ReasonerAbsent(f"node {self._node} leads no more")
        async with aclosing(self._here(asked.turn, asked.actor)) as events:
            async for each in events:
                yield each

    def _here(self, turn: Turn, actor: Actor) -> AsyncGenerator[bytes]:
        def answer(begun: Begun) -> AsyncGenerator[bytes]:
            return self._answered(_said(turn.text, begun), actor)

        return self._book.recorded(turn.text, turn.conversation or "", actor, answer)

    async def go_on(self, conversation: str, decided: Decided, actor: Actor) -> None:
        """With what an earlier turn proposed, now that people have decided: as a turn of the conversation, for its
        owner to read. On the leader. Raises ReasonerAbsent, ConversationFault, StoreFault."""
        text = f"(proposal {decided.proposal} is {decided.ended})"
        await self._unasked(text, conversation, actor, lambda begun: _said(text, begun, decided=decided))

    async def investigate(self, conversation: str, postponed: Postponed, actor: Actor) -> bool:
        """Goes on with it as a turn of the conversation. On the leader. Whether it came to its end. Raises
        ReasonerAbsent, ConversationFault, StoreFault."""
        question = await self._book.question(conversation, postponed.number)
        text = f"(a model answers again) {question}"
        last = await self._unasked(
            text,
            conversation,
            actor,
            lambda begun: _said(question, begun, explains=postponed.slice),
            goes_on=True,
        )
        return msgspec.json.decode(last, type=_Ended).answered_by == MODEL

    async def _unasked(
        self, text: str, conversation: str, actor: Actor, said: Callable[[Begun], Said], *, goes_on: bool = False
    ) -> bytes:
        """A turn that nobody said, for the conversation's owner to read. Gives its last event."""
        last = b"{}"

        def answer(begun: Begun) -> AsyncGenerator[bytes]:
            return self._answered(said(begun), actor)

        async with aclosing(self._book.recorded(text, conversation, actor, answer, goes_on=goes_on)) as events:
            async for each in events:
                last = each
        return last

    async def model_answers(self, actor: Actor, *, incident: bool) -> bool:
        """Whether a model may be asked now, and answers: it is asked for one word. Raises ReasonerAbsent."""
        async with model_verbs(self._budget, actor.id, self._log) as models:
            connection = await self.opened(Handlers(unary={**models}))
            try:
                return msgspec.json.decode(
                    await connection.call(AWAKE, msgspec.json.encode(incident), deadline_s=AWAKE_S), type=bool
                )
            except CallFault as fault:
                raise ReasonerAbsent(f"the process that answers is gone: {fault}") from fault
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()

    async def _answered(self, said: Said, actor: Actor) -> AsyncGenerator[bytes]:
        async with model_verbs(self._budget, actor.id, self._log) as models:
            connection = await self.opened(self._offered(actor, said.conversation, models))
            try:
                async with aclosing(connection.stream(TURN, msgspec.json.encode(said))) as stream:
                    async for each in stream:
                        yield each
            except CallFault as fault:
                raise ReasonerAbsent(f"the process that answers is gone: {fault}") from fault
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.close()

    def _offered(self, actor: Actor, conversation: str, models: dict[str, Verb]) -> Handlers:
        """What the reasoner may do while this person's turn lasts."""
        desk = self.desk
        if desk is None:
            raise ReasonerAbsent("this node has just begun")

        async def ask(call: IncomingCall) -> bytes:
            return _encoded(await desk.ask(msgspec.json.decode(call.payload, type=Asked), actor))

        async def plan(call: IncomingCall) -> bytes:
            return _encoded(await desk.plan(msgspec.json.decode(call.payload, type=Asked), actor, conversation))

        async def propose(call: IncomingCall) -> bytes:
            return _encoded(await desk.propose(msgspec.json.decode(call.payload, type=Wanted), actor, conversation))

        shelf = shelf_verbs(self._book.shelf(conversation))
        return Handlers(unary={ASK: ask, PLAN: plan, PROPOSE: propose, **shelf, **models})

    async def opened(self, handlers: Handlers) -> Connection:
        """Starts the process where it does not run. Raises ReasonerAbsent."""
        try:
            return await connect_unix(self._socket, handlers)
        except NotStarted:
            pass
        async with self._starting:
            await self._start()
            with anyio.move_on_after(START_S):
                while True:
                    try:
                        return await connect_unix(self._socket, handlers)
                    except NotStarted:
                        await anyio.sleep(LOOK_S)  # a file that appears is nothing that can be awaited
        raise ReasonerAbsent(f"the process that answers did not come up within {START_S:g} s")

    async def _start(self) -> None:
        try:
            started = await self._supervisor.start(PROCESS, kind=PROCESS, module=MODULE, environment=ENVIRONMENT)
        except RuntimeFault as fault:
            raise ReasonerAbsent(f"the process that answers cannot be started: {fault}") from fault
        self._log.info("reasoner_started", pid=started.pid)

    async def _stop(self) -> None:
        try:
            if any(each.id == PROCESS for each in await self._supervisor.processes()):
                await self._supervisor.stop(PROCESS, grace_s=STOP_GRACE_S)
        except RuntimeFault as fault:
            self._log.warning("reasoner_not_stopped", reason=str(fault))


def _said(text: str, begun: Begun, *, decided: Decided | None = None, explains: str = "") -> Said:
    return Said(
        text=text,
        conversation=begun.conversation,
        number=begun.number,
        tainted=begun.tainted,
        decided=decided,
        explains=explains,
    )


def _encoded(replied: Replied) -> bytes:
    return msgspec.json.encode(replied)
