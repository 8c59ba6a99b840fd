"""What answers queries, on the gate's store in memory, with telemetry that says what a test wants."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from agent_api.assemble.conversations import DeskSecrecy
from agent_api.control_api.answers import answers
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.turns import Asked, ReasonerAbsent, ReasonerDesk, Turn, Wanted
from controllers.context.history_file import HistoryFile
from controllers.context.minute import SliceMinute
from controllers.context.training_data import TrainingData
from controllers.conversations.book import Begun, ConversationBook
from controllers.model_budget.records import Limits
from runtime.consensus.store import Revision
from runtime.content.errors import ContentNotFound
from runtime.deployment.view import StateView
from runtime.names import NodeId, Sha256
from runtime.operations.actor import Actor
from runtime.operations.operation import Result
from runtime.telemetry.methods import MethodLoad
from tests.unit.gate_parts import GateOnHand
from tests.unit.playbook_parts import PlaybooksOnHand
from tests.unit.scaling_parts import no_forecasts, scaling_on_hand

ResultT = TypeVar("ResultT")

LOAD = {
    "requests_per_s": 0,
    "nodes": [],
    "slices": [{"slice": "orders", "calls": 1, "errors": 0, "rejected": 0, "instances": 1}],
}


@dataclass
class HandTelemetry:
    asked: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)

    def exposition(self) -> bytes:
        return b""

    def picture(self) -> dict[str, object]:
        return LOAD

    async def window(self, slice_name: str) -> dict[str, object] | None:
        if slice_name != "orders":
            return None
        return {"slice": slice_name, "silent": ["n2"], "seconds": {"calls": [None, 2.0]}, "ten_seconds": {}}

    async def methods(self, slice_name: str) -> dict[str, object]:
        called = MethodLoad(method="place", version="1", calls=120, calls_per_s=2.0, errors=3, p95_ms=8.0)
        return {"over_s": 60, "silent": ["n3"], "methods": (called,) if slice_name == "orders" else ()}

    def node_window(self, node: str) -> dict[str, object] | None:
        return {"node": node, "seconds": {"cpu_cores": [None, 0.5]}, "ten_seconds": {}} if node == "n1" else None

    async def logs(self, query: dict[str, str]) -> dict[str, object]:
        self.asked.append(query)
        return {"logs": [{"at_ms": 1, "event": "node_up"}], "silent": []}

    async def traces(self, query: dict[str, str]) -> dict[str, object]:
        self.asked.append(query)
        return {"traces": [], "silent": ["n3"]}

    def facts(self, after: str, limit: int) -> dict[str, object]:
        return {"events": self.events[:limit], "complete": True}

    async def follow_facts(self, after: str) -> AsyncIterator[dict[str, object]]:
        for each in self.events:
            yield each


class HandReasoner:
    """Tells what was said; after "ask", "plan" or "propose", what the desk says to that operation; after "tell" the
    events that follow. What is said is kept as the leader keeps it."""

    def __init__(self, hand: GateOnHand, led: Callable[[], Revision] | None = None) -> None:
        self.desk: ReasonerDesk | None = None
        self.contents = HandContents()
        self.begun: list[Begun] = []
        self.told: list[dict[str, object]] | None = None
        """Where it is set, the events of every answer."""
        self.book = ConversationBook(
            store=hand.store,
            bulk=self.contents,
            led=led or hand.desk.fence,
            new_id=hand.desk.new_id,
            secrecy=DeskSecrecy(hand.desk),
            clock=hand.clock,
            log=hand.log,
        )

    def turn(self, turn: Turn, actor: Actor) -> AsyncIterator[bytes]:
        def answer(begun: Begun) -> AsyncGenerator[bytes]:
            self.begun.append(begun)
            return self._answer(turn, actor)

        return self.book.recorded(turn.text, turn.conversation or "", actor, answer)

    async def _answer(self, turn: Turn, actor: Actor) -> AsyncGenerator[bytes]:
        verb, _, rest = turn.text.partition(" ")
        if verb == "absent":
            raise ReasonerAbsent("the process that answers is gone")
        if self.told is not None or verb == "tell":
            for each in self.told or msgspec.json.decode(rest):
                yield msgspec.json.encode(each)
            return
        told: object = turn.text
        if verb in ("ask", "plan"):
            assert self.desk is not None
            operation, _, request = rest.partition(" ")
            asked = Asked(operation=operation, request=msgspec.json.decode(request))
            if verb == "ask":
                told = await self.desk.ask(asked, actor)
            else:
                told = await self.desk.plan(asked, actor, self.begun[-1].conversation)
        elif verb == "propose":
            assert self.desk is not None
            wanted = msgspec.json.decode(rest, type=Wanted)
            told = await self.desk.propose(wanted, actor, self.begun[-1].conversation)
        yield msgspec.json.encode({"type": "text", "told": told})
        if verb == "break":
            raise ReasonerAbsent("the process that answers is gone")
        yield b'{"type":"done"}'


class HandContents:
    """Bytes by their hash."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def keep(self, raw: bytes) -> str:
        sha256 = hashlib.sha256(raw).hexdigest()
        self.kept[sha256] = raw
        return sha256

    async def read(self, sha256: str) -> bytes:
        if sha256 not in self.kept:
            raise ContentNotFound(Sha256(sha256), "nowhere")
        return self.kept[sha256]


class HandHistory:
    """One minute of one slice."""

    async def ask(self, work: Callable[[HistoryFile], ResultT]) -> ResultT:
        file = HistoryFile(Path(":memory:"), days=14, bytes_max=1 << 20)
        file.append([SliceMinute(slice="tea", version="1", minute=7, invocations=3.0)])
        try:
            return work(file)
        finally:
            file.close()


class AnswersOnHand:
    def __init__(self, hand: GateOnHand) -> None:
        self.telemetry = HandTelemetry()
        reasoner = HandReasoner(hand)
        self.parts = ApiParts(
            node=NodeId("n1"),
            store=hand.store,
            view=StateView(hand.state),  # type: ignore[arg-type]  # reads alike
            shelf=None,  # type: ignore[arg-type]  # no query asks it
            models=None,  # type: ignore[arg-type]  # nor it
            dispatcher=hand.link,
            audit=hand.audit,
            clock=hand.clock,
            catalogue=hand.desk.catalogue,
            training_data=TrainingData(HandHistory()),  # type: ignore[arg-type]  # asks alike
            telemetry=self.telemetry,
            scaling=scaling_on_hand(hand, hand.state),
            forecasts=no_forecasts(),
            run_planner=PlaybooksOnHand(hand).planner,
            reasoner=reasoner,
            bulk=reasoner.contents,
            join=None,  # type: ignore[arg-type]
            is_leader=lambda: True,
            leader=lambda: "n1",
            gateway_up=lambda: True,
            log=hand.log,
            model_limits=lambda: Limits(minute_tokens=60_000, hour_micros=2_000_000, day_micros=20_000_000),
            forge_door=lambda: "",
            file_settings={"drain_s": 3.0},
        )
        self._answers = answers(self.parts)
        self.names = set(self._answers)

    async def ask(self, name: str, actor: Actor, /, **members: object) -> Result:
        query = self.parts.catalogue.find(name)
        request = msgspec.convert(members, query.request)
        return await self._answers[name](request, actor)
