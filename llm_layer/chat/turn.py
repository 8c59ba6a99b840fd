"""One turn: by rules alone, or, where a model is configured, by the graph that may ask it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import msgspec

from llm_layer.chat.events import Done, Event, Failed, Looked
from llm_layer.chat.rules import Fit, Rules
from llm_layer.chat.talk import Given, Talk
from llm_layer.desk import Desk
from llm_layer.errors import LlmFault
from llm_layer.evidence import EvidenceBook
from llm_layer.recordings.recording import NotingClock, NotingDesk, NotingModels
from llm_layer.redaction import RedactingDesk
from runtime.clock import Clock
from runtime.operations.catalogue import Catalogue


class Turns:
    """Any number of turns at once."""

    def __init__(self, *, fit: Fit, catalogue: Catalogue, clock: Clock) -> None:
        self._rules = Rules(fit=fit, catalogue=catalogue)
        self._catalogue = catalogue
        self._clock = clock

    def answer(self, text: str, desk: Desk, talk: Talk | None = None, *, explains: str = "") -> AsyncIterator[Event]:
        """Ends with Done, whatever happens on the way. explains: the slice that is to be investigated, where it is
        known that the text asks for that."""
        if talk is not None and talk.models.present:
            given = self._given(desk, talk)
            return self._told(self._by_graph(text, given, explains), given.book)
        desk = RedactingDesk(desk)
        book = EvidenceBook(desk, self._clock)
        book.tainted = talk is not None and talk.tainted
        return self._told(self._by_rules(text, desk, book), book)

    def go_on(self, proposal: str, ended: str, desk: Desk, talk: Talk) -> AsyncIterator[Event]:
        """With what an earlier turn had proposed, now that people have decided; told like an answer."""
        given = self._given(desk, talk)
        return self._told(self._resumed(proposal, ended, given), given.book)

    async def _told(self, events: AsyncGenerator[Event], book: EvidenceBook) -> AsyncIterator[Event]:
        began_s = self._clock.monotonic_s()
        done = Done(answered_by="rules", kind="failed", asked=0, taken_ms=0.0)
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Done):
                        done = event
                    else:
                        yield event
        except LlmFault as fault:
            yield Failed(code=fault.code, detail=str(fault), remedy=fault.remedy)
        taken_ms = round((self._clock.monotonic_s() - began_s) * 1_000, 1)
        yield msgspec.structs.replace(done, asked=len(book.all), taken_ms=taken_ms)

    async def _by_rules(self, text: str, desk: Desk, book: EvidenceBook) -> AsyncGenerator[Event]:
        looked, kind = 0, "failed"
        async for each, event in self._rules.answer(text, desk, book):
            kind = each
            for evidence in book.all[looked:]:
                yield Looked(evidence=evidence)
            looked = len(book.all)
            yield event
        yield Done(answered_by="rules", kind=kind, asked=0, taken_ms=0.0, tainted=book.tainted)

    async def _by_graph(self, text: str, given: Given, explains: str) -> AsyncGenerator[Event]:
        """langgraph is imported with the first turn that has a model: half a second, and nobody else needs it."""
        from llm_layer.graphs.turning import turned

        async with aclosing(turned(text, given, explains)) as events:
            async for event in events:
                yield event

    async def _resumed(self, proposal: str, ended: str, given: Given) -> AsyncGenerator[Event]:
        from llm_layer.graphs.turning import resumed

        async with aclosing(resumed(proposal, ended, given)) as events:
            async for event in events:
                yield event

    def _given(self, desk: Desk, talk: Talk) -> Given:
        """Where the turn is recorded, all that it is answered is noted, without what looks like a secret."""
        clock: Clock = self._clock
        desk = RedactingDesk(desk)
        if (tape := talk.tape) is not None:
            desk, clock = NotingDesk(desk, tape), NotingClock(clock, tape)
            talk = replace(talk, models=NotingModels(talk.models, tape))
        book = EvidenceBook(desk, clock)
        return Given(desk=desk, book=book, talk=talk, rules=self._rules, catalogue=self._catalogue)
