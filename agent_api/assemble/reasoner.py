"""The reasoner process: `python -P -m agent_api.assemble.reasoner --data DIR`.

It holds no key of the cluster and listens on a Unix socket alone. What it may ask is offered to it by each connection,
for one turn.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import msgspec
import uvloop

from agent_api.assemble.reasoner_models import ModelRoom
from agent_api.assemble.shelving import ConnectedShelf
from agent_api.catalogue import make_catalogue
from agent_api.control_api.turns import (
    ASK,
    AWAKE,
    PLAN,
    PROPOSE,
    REVIEW,
    TURN,
    Asked,
    Names,
    Replied,
    Said,
    Shelved,
    Wanted,
)
from controllers.conversations.remedies import RunOf
from controllers.scaling.reasoning import Question
from llm_layer.chat.events import Done, Event
from llm_layer.chat.talk import Talk
from llm_layer.chat.turn import Turns
from llm_layer.desk import Because, DeskRefused, Plain
from llm_layer.providers.asking import Models
from llm_layer.providers.awake import answers
from llm_layer.recordings.recording import Tape
from llm_layer.recordings.rows import Begun
from llm_layer.recordings.shelf import RecordingShelf
from llm_layer.router.phrases import training_sentences
from llm_layer.router.routing import Router
from llm_layer.router.shipped import open_classifier
from runtime.clock import SystemClock
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.words import words_told
from runtime.config.settings import read_settings
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import serve_unix
from runtime.operations.dispatch import Guard
from runtime.telemetry.log import Log, open_log

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

ASK_S: Final = 15.0
CHECKPOINTS_KEPT: Final = 2  # of a thread: the newest is gone on from, and the one before while that is written


Lent = Callable[[Connection], contextlib.AbstractAsyncContextManager[Models]]
"""What may be asked in one turn, by its connection."""


class ConnectedDesk:
    """Implements Desk over the connection that the turn came by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        return await self._asked(ASK, Asked(operation=operation, request=dict(request)))

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        return await self._asked(PLAN, Asked(operation=operation, request=dict(request)))

    async def propose(self, operation: str, request: Mapping[str, object], because: Because) -> Plain:
        members = {name: value for name, value in msgspec.to_builtins(because).items() if name != "guard"}
        guard = _guard(request, because)
        return await self._asked(PROPOSE, Wanted(operation=operation, request=dict(request), guard=guard, **members))

    async def _asked(self, verb: str, asked: Asked | Wanted) -> Plain:
        try:
            raw = await self._connection.call(verb, msgspec.json.encode(asked), deadline_s=ASK_S)
        except CallFault as fault:
            raise DeskRefused(fault.code, str(fault), fault.remedy) from fault
        replied = msgspec.json.decode(raw, type=Replied)
        if replied.code:
            raise DeskRefused(replied.code, replied.detail, replied.remedy)
        return msgspec.json.decode(replied.answer, type=Plain)


def _guard(request: Mapping[str, object], because: Because) -> Guard | None:
    """Only changes of one slice can have one."""
    wanted, name = because.guard, request.get("slice")
    if wanted is None or not isinstance(name, str):
        return None
    return Guard(slice=name, metric=wanted.metric, bound=wanted.bound, window_s=wanted.window_s)


class RefusingShelf(ConnectedShelf):
    """Tells graphs in this layer's words that something could not be kept."""

    async def _call(self, verb: str, asked: Shelved | Names) -> bytes:
        try:
            return await super()._call(verb, asked)
        except CallFault as fault:
            raise DeskRefused(fault.code, str(fault), fault.remedy) from fault


def _keeper(connection: Connection) -> BaseCheckpointSaver[int]:
    """langgraph comes with the first graph, and no sooner."""
    from llm_layer.checkpoints.saver import ShelfSaver

    return ShelfSaver(RefusingShelf(connection), kept=CHECKPOINTS_KEPT)


class Answering:
    """What the socket offers."""

    def __init__(self, turns: Turns, models: Lent, shelf: RecordingShelf, log: Log) -> None:
        self._turns = turns
        self._models = models
        self._shelf = shelf
        self._log = log

    async def turn(self, call: IncomingCall) -> AsyncIterator[bytes]:
        assert call.connection is not None
        said, desk = msgspec.json.decode(call.payload, type=Said), ConnectedDesk(call.connection)
        async with self._models(call.connection) as models:
            begun = _begun(said, models)
            talk = self._talk(said, call.connection, models, self._shelf.begin(begun) if models.present else None)
            async for event in self._events(said, desk, talk):
                if talk.tape is not None:
                    talk.tape.note_event(event)
                    if isinstance(event, Done):
                        await self._keep(begun, talk.tape)  # behind it nobody listens, and the stream is closed
                yield msgspec.json.encode(event)
        self._log.info("turn_answered", characters=len(said.text))

    def _events(self, said: Said, desk: ConnectedDesk, talk: Talk) -> AsyncIterator[Event]:
        if said.decided is not None:
            return self._turns.go_on(said.decided.proposal, said.decided.ended, desk, talk)
        return self._turns.answer(said.text, desk, talk, explains=said.explains)

    async def _keep(self, begun: Begun, tape: Tape) -> None:
        """An answer is none the worse for not being recorded."""
        try:
            await anyio.to_thread.run_sync(self._shelf.keep, begun, tape)
        except OSError as error:
            self._log.warning("turn_not_recorded", reason=error.strerror or type(error).__name__)

    def _talk(self, said: Said, connection: Connection, models: Models, tape: Tape | None) -> Talk:
        """What goes on belongs to the turn that it began in."""
        number = said.decided.number if said.decided is not None else said.number
        return Talk(
            run=RunOf(said.conversation, number),
            models=models,
            tainted=said.tainted,
            keeper=partial(_keeper, connection),
            tape=tape,
        )

    async def awake(self, call: IncomingCall) -> bytes:
        """Whether a model answers."""
        assert call.connection is not None
        async with self._models(call.connection) as models:
            return msgspec.json.encode(await answers(models, incident=msgspec.json.decode(call.payload, type=bool)))

    async def review(self, call: IncomingCall) -> bytes:
        """An opinion on scaling, or none."""
        assert call.connection is not None
        opinion = None
        async with self._models(call.connection) as models:
            if models.present:
                from llm_layer.graphs.scale_review import review

                opinion = await review(models, msgspec.msgpack.decode(call.payload, type=Question))
        return msgspec.msgpack.encode(opinion)


def _begun(said: Said, models: Models) -> Begun:
    decided = said.decided
    return Begun(
        conversation=said.conversation,
        number=decided.number if decided is not None else said.number,
        text=said.text,
        tainted=said.tainted,
        proposal=decided.proposal if decided is not None else "",
        ended=str(decided.ended) if decided is not None else "",
        has_cheap=models.has_cheap,
        explains=said.explains,
    )


async def serve(layout: NodeLayout, log: Log) -> None:
    """Until SIGTERM. Listens once the router is fitted, so that whoever gets in is answered."""
    turns = await anyio.to_thread.run_sync(_turns)
    room = ModelRoom(layout, environment=os.environ, clock=SystemClock(), log=log)
    shelf = RecordingShelf(layout.recordings, lambda: room.recordings)
    answering = Answering(turns, room.models, shelf, log)
    handlers = Handlers(streams={TURN: room.told(answering.turn)})
    handlers.unary.update({REVIEW: answering.review, AWAKE: answering.awake})
    listener = await serve_unix(layout.socket("reasoner"), handlers)
    log.info("reasoner_listening")
    log.flush()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            break
    await listener.close()
    log.info("reasoner_stopped")


def _turns() -> Turns:
    classifier = open_classifier(training_sentences())
    return Turns(fit=lambda taught: Router(classifier, taught), catalogue=make_catalogue(), clock=SystemClock())


def main(argv: Sequence[str] | None = None) -> int:
    """The process's exit status."""
    layout = NodeLayout(Path(words_told("aether-reasoner", argv, data=None)["data"]))
    identity = read_identity(layout.identity)
    log = open_log(layout.logs, "reasoner", node=identity.node, level=read_settings(layout.data).log_level)
    with contextlib.closing(log):
        uvloop.run(serve(layout, log))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
