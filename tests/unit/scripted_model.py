"""A provider that replies what a test says, and a cluster that answers what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio
import msgspec

from agent_api.catalogue import make_catalogue
from controllers.conversations.remedies import RunOf
from llm_layer.chat.events import Event
from llm_layer.chat.talk import Talk
from llm_layer.chat.turn import Turns
from llm_layer.desk import DeskRefused, Plain
from llm_layer.providers.asking import Models
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.messages import Ask, CallRefused, Reply, Said, Stop, Tier, ToolCall, ToolResult, Usage
from llm_layer.providers.prices import Prices
from llm_layer.providers.provider import Heard, Unheard
from llm_layer.router.inventory import Inventory
from llm_layer.router.routing import Choice, Routing
from tests.unit.gate_parts import HandClock

NEVER_S = 3_600.0  # a busy machine is no slow model
PRICES = Prices(("strong-1 2 0 0 10 2026-11-27",))
Line = Reply | Exception | Callable[[Ask], Reply]


@dataclass
class Scripted:
    """Implements Provider. Each question takes the next line; beyond the last there is nobody."""

    lines: list[Line]
    name: str = "scripted"
    cheap: str = "strong-1"
    """Where it is another one than the strong, it is asked beside the answers."""
    asked: list[Ask] = field(default_factory=list)

    def model(self, tier: Tier) -> str:
        return self.cheap if tier == "cheap" else "strong-1"

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        self.asked.append(ask)
        if not self.lines:
            raise ProviderFault("unreachable", "the script has ended")
        line = self.lines.pop(0)
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, Reply) else line(ask)

    async def whole(self, ask: Ask) -> Reply:
        return await self.stream(ask, Unheard())

    async def close(self) -> None:
        pass

    def told(self, at: int = -1) -> str:
        """What the tools told the model before that question."""
        results = [p for m in self.asked[at].messages for p in m.parts if isinstance(p, ToolResult)]
        return "\n".join(each.content for each in results)


def calls(*named: tuple[str, Plain]) -> Reply:
    made = tuple(ToolCall(id=f"c{at}", name=name, arguments=members) for at, (name, members) in enumerate(named))
    return _reply("", "calls", calls=made)


def refused_calls(name: str) -> Reply:
    found = (CallRefused(id="c0", name=name, code="arguments_malformed", detail="no JSON object"),)
    return _reply("", "calls", refused=found)


def says(**answer: object) -> Reply:
    return _reply(msgspec.json.encode(answer).decode(), "end", answer=answer)


def claims(*rows: tuple[str, Sequence[str]], cards: Sequence[str] = (), plots: Sequence[str] = ()) -> Reply:
    told = [{"evidence": list(evidence), "text": text} for text, evidence in rows]
    return says(claims=told, plots=list(plots), cards=list(cards))


def stopped(stop: Stop, text: str = "") -> Reply:
    return _reply(text, stop)


def _reply(text: str, stop: Stop, **members: object) -> Reply:
    made = members.get("calls", ())
    parts = (*((Said(text=text),) if text else ()), *made)  # type: ignore[misc]  # calls, as the helpers above give them
    usage = Usage(fresh=100, output=20)
    whole = {"usage": usage, "provider": "scripted", "model": "strong-1", "cost_micros": 1_000, **members}
    return Reply(text=text, parts=parts, stop=stop, **whole)  # type: ignore[arg-type]  # as above


@dataclass
class World:
    """Implements Desk. `answers`: by operation."""

    answers: dict[str, Plain]
    asked: list[tuple[str, Plain]] = field(default_factory=list)
    planned: list[tuple[str, Plain]] = field(default_factory=list)
    proposed: list[Plain] = field(default_factory=list)

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        self.asked.append((operation, dict(request)))
        if operation not in self.answers:
            raise DeskRefused("not_found", f"nothing is known of {operation}")
        return self.answers[operation]

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        self.planned.append((operation, dict(request)))
        inverse = {"operation": operation, "request": {**request, "instances": 3}}
        return {"summary": "orders: 3 -> 5 instances", "revision": 9, "decision": "propose", "inverse": inverse}


async def at_once(_seconds: float) -> None:
    """Instead of waiting before another try."""


def models_of(provider: Scripted) -> Models:
    return Models([provider], prices=PRICES, pause=at_once)


class HandRouter:
    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    def route(self, _text: str, _inventory: Inventory) -> Routing:
        return self._routing


UNSURE = Routing(
    kind="choices",
    choices=(Choice(operation="slice.show", params={"slice": "orders"}, share=0.3),),
    why="it may mean several things",
)


def of(kind: str, operation: str, share: float = 0.9, **params: object) -> Routing:
    return Routing(kind=kind, choices=(Choice(operation=operation, params=params, share=share),))  # type: ignore[arg-type]


def turned(text: str, world: World, provider: Scripted, routing: Routing = UNSURE, **talk: object) -> list[Event]:
    async def run() -> list[Event]:
        models = talk.pop("models", None) or models_of(provider)
        return await told(text, world, models, routing, **talk)  # type: ignore[arg-type]  # of a talk

    return anyio.run(run)


async def told(text: str, world: World, models: Models, routing: Routing = UNSURE, **talk: object) -> list[Event]:
    router = HandRouter(routing)
    turns = Turns(fit=lambda _taught: router, catalogue=make_catalogue(), clock=HandClock())  # type: ignore[arg-type, return-value]  # routes alike
    explains = str(talk.pop("explains", ""))
    talk = {"slow_s": NEVER_S, **talk}
    belongs = Talk(run=RunOf("t1", 1), models=models, **talk)  # type: ignore[arg-type]  # members of a talk
    return [each async for each in turns.answer(text, world, belongs, explains=explains)]
