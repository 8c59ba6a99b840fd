"""What the nodes of one run share. It is no state: a run that goes on elsewhere has all of it anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from controllers.conversations.remedies import RunOf
from llm_layer.chat.events import Diagnosed, Event, Looked
from llm_layer.chat.rules import Rules
from llm_layer.chat.words import in_words
from llm_layer.claims.verify import Ground
from llm_layer.desk import Desk
from llm_layer.diagnosis.decide import Diagnosis
from llm_layer.evidence import EvidenceBook
from llm_layer.providers.entry import ModelEntry
from llm_layer.providers.messages import Ask, Reply, Usage
from llm_layer.providers.provider import Heard
from llm_layer.tools.toolbox import Told, Toolbox


@dataclass(slots=True, kw_only=True)
class Spent:
    """What models took. `cost_micros` is None once the price of one of them is not known."""

    by: list[str] = field(default_factory=list)
    """Provider and model, each once."""
    usage: Usage = field(default_factory=Usage)
    cost_micros: int | None = 0

    def add(self, reply: Reply) -> None:
        name = f"{reply.provider} {reply.model}"
        self.by += [] if name in self.by else [name]
        self.usage = self.usage + reply.usage
        known = self.cost_micros is not None and reply.cost_micros is not None
        self.cost_micros = (self.cost_micros or 0) + (reply.cost_micros or 0) if known else None


@dataclass(slots=True, kw_only=True)
class Effort:
    """How much may still be looked at: longer is not better."""

    calls_max: int
    stale_max: int
    """Calls in a row that brought nothing new, after which nothing new is expected."""
    of: Effort | None = None
    """What this is a part of, with others that look at the same time."""
    calls: int = 0
    stale: int = 0

    @property
    def spent(self) -> bool:
        own = self.calls >= self.calls_max or self.stale >= self.stale_max
        return own or (self.of is not None and self.of.spent)

    def note(self, told: Told) -> None:
        self.calls += 1
        self.stale = 0 if told.new else self.stale + 1
        if self.of is not None:
            self.of.note(told)


@dataclass(slots=True, kw_only=True)
class Run:
    """of: names the run wherever it goes on; a step's change is proposed once under it."""

    of: RunOf
    models: ModelEntry
    rules: Rules
    toolbox: Toolbox
    book: EvidenceBook
    desk: Desk
    tell: Callable[[Event], None]
    slow_s: float
    saver: BaseCheckpointSaver[Any] | None = None
    incident: bool = False
    spent: Spent = field(default_factory=Spent)
    kind: str = ""
    """Of answer, for who counts them; empty until there is one."""
    answered_by: str = "rules"
    _told: int = 0

    @property
    def slices(self) -> tuple[str, ...]:
        return tuple(self.toolbox.named("slice"))

    async def ask(self, ask: Ask, heard: Heard | None = None) -> Reply:
        """Raises ModelsAbsent, ModelsExhausted."""
        reply = await self.models.ask(ask, heard)
        self.spent.add(reply)
        return reply

    async def call(self, name: str, arguments: dict[str, object]) -> Told:
        told = await self.toolbox.call(name, arguments)
        self.tell_looked()
        return told

    def tell_looked(self) -> None:
        """Evidence is told as it comes, before what stands on it."""
        for evidence in self.book.all[self._told :]:
            self.tell(Looked(evidence=evidence))
        self._told = len(self.book.all)

    def tell_diagnosis(self, diagnosis: Diagnosis) -> None:
        """What rules found stands before anything that a model may say later."""
        self.tell_looked()
        self.tell(Diagnosed(diagnosis=diagnosis))
        for said in in_words(diagnosis):
            self.tell(said)

    def ground(self, said: str) -> Ground:
        """What claims may stand on by now. said: the person's own words."""
        noted = self.toolbox.noted
        return Ground(
            shown=noted.shown,
            names=self.toolbox.names,
            plots=noted.plots.keys(),
            cards=noted.cards.keys(),
            said=said,
            known=self.toolbox.words,
        )
