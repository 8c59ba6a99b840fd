"""Answers by rules alone: route, look up, tell. A question is answered; a change becomes a card, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from llm_layer.chat.cards import advised, option, planned_card
from llm_layer.chat.events import Choices, Diagnosed, Event, Option, Text
from llm_layer.chat.names import read_inventory
from llm_layer.chat.templates import told
from llm_layer.chat.words import in_words
from llm_layer.desk import Desk
from llm_layer.diagnosis.decide import Diagnosis, diagnose
from llm_layer.diagnosis.gathering import Gathering
from llm_layer.evidence import EvidenceBook
from llm_layer.router.routing import Choice, Router, Routing
from llm_layer.router.slash import is_slash, read_slash
from llm_layer.tools.quoting import has_foreign_text
from runtime.operations.catalogue import Catalogue
from runtime.operations.operation import AnyOperation, Query
from runtime.operations.queries.phrases import PhrasePage

EXPLAIN: Final = "slice.explain"
STATUS: Final = "cluster.status"
ADVICE: Final = "it may help"
HELP: Final = "operation.list"
NO_MODEL: Final = (
    "No reasoning model is configured, so I answer by rules: status, figures, causes of slowness and failure, and"
    ' changes that you confirm. Ask "why are orders slow?", say "scale orders to 5", or type / for commands.'
)
NOT_OURS: Final = "That is nothing that this cluster does, or nothing that I understand without a reasoning model."


def to_explain(name: str) -> Routing:
    """Of a sentence that asks why a slice is unwell."""
    return Routing(kind="question", choices=(Choice(operation=EXPLAIN, params={"slice": name}, share=1.0),))


Fit = Callable[[tuple[tuple[str, str], ...]], Router]
"""A router that knows these sentences with their operations too; about a second of processor time."""
Answered = AsyncIterator[tuple[str, Event]]
"""(kind of answer, event)."""


class Rules:
    """Any number of turns at once. The router is fitted anew, off the loop, when people have taught something since."""

    def __init__(self, *, fit: Fit, catalogue: Catalogue) -> None:
        self._fit = fit
        self._taught: tuple[tuple[str, str], ...] = ()
        self._router = fit(self._taught)
        self._fitting = anyio.Lock()
        self._catalogue = catalogue

    async def answer(self, text: str, desk: Desk, book: EvidenceBook) -> Answered:
        """Raises DeskRefused, SlashInvalid."""
        if is_slash(text):
            operation, request = read_slash(text, self._catalogue)
            async for each in self._carried(operation, request, desk, book):
                yield each
            return
        async for each in self.carry_out(await self.route(text, desk, book), desk, book):
            yield each

    async def route(self, text: str, desk: Desk, book: EvidenceBook) -> Routing:
        """What the sentence may mean. Raises DeskRefused."""
        await self._learn(desk)
        return self._router.route(text, await read_inventory(book))

    async def carry_out(self, routing: Routing, desk: Desk, book: EvidenceBook, *, alone: bool = True) -> Answered:
        """alone: no model stands by, which is said where it would be missed."""
        first = routing.first
        if routing.kind == "nothing" or first is None:
            yield "nothing", Text(text=f"{NOT_OURS} {NO_MODEL}" if alone else NOT_OURS)
        elif routing.kind == "choices":
            options = self.options(routing.choices)
            yield "choices", Choices(why=routing.why, options=options, teachable=routing.teachable)
        else:
            operation = self._catalogue.find(first.operation)
            async for each in self._carried(operation, first.params, desk, book, alone=alone):
                yield each

    def options(self, choices: Sequence[Choice]) -> tuple[Option, ...]:
        return tuple(option(each, self._catalogue) for each in choices)

    async def _learn(self, desk: Desk) -> None:
        answer = await desk.ask("phrase.list", {})
        rows = msgspec.convert(answer, PhrasePage).items
        taught = tuple((each.sentence, each.operation) for each in rows)
        async with self._fitting:
            if taught != self._taught:
                self._router = await anyio.to_thread.run_sync(self._fit, taught)
                self._taught = taught

    async def _carried(
        self, operation: AnyOperation, request: dict[str, object], desk: Desk, book: EvidenceBook, *, alone: bool = True
    ) -> Answered:
        if not isinstance(operation, Query):
            yield "card", await planned_card(operation, request, desk, tainted=book.tainted)
        elif operation.name == EXPLAIN:
            diagnosis = await self._diagnosed(str(request["slice"]), book)
            yield "diagnosis", Diagnosed(diagnosis=diagnosis)
            for said in in_words(diagnosis):
                yield "diagnosis", said
            if (advice := self.advice_on(diagnosis)) is not None:
                yield "diagnosis", advice
        else:
            if operation.name == HELP and alone:
                yield "answer", Text(text=NO_MODEL)
            evidence, answer = await book.ask(operation.name, request)
            book.tainted = book.tainted or has_foreign_text(answer)
            for event in told(operation, answer, evidence.id):
                yield "answer", event
            if operation.name == STATUS:
                async for event in self._how_it_is(book):
                    yield "answer", event

    async def _how_it_is(self, book: EvidenceBook) -> AsyncIterator[Event]:
        """The whole cluster's diagnosis; in words where something is wrong with it."""
        diagnosis = await self._diagnosed("", book)
        yield Diagnosed(diagnosis=diagnosis)
        if diagnosis.well:
            return
        for said in in_words(diagnosis):
            yield said
        if (advice := self.advice_on(diagnosis)) is not None:
            yield advice

    def advice_on(self, diagnosis: Diagnosis) -> Choices | None:
        """None where nothing that rules know may help."""
        if not diagnosis.advice:
            return None
        options = tuple(advised(each, self._catalogue) for each in diagnosis.advice)
        return Choices(why=ADVICE, options=options)

    async def _diagnosed(self, name: str, book: EvidenceBook) -> Diagnosis:
        diagnosis = diagnose(await Gathering(book).gather(name, book.clock.unix_ms()))
        book.tainted = book.tainted or diagnosis.tainted
        return diagnosis
