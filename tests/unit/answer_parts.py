"""What answers queries, on the gate's store in memory, with telemetry that says what a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from agent_api.control_api.answers import answers
from agent_api.control_api.ports import ApiParts
from controllers.context.history_file import HistoryFile
from controllers.context.minute import SliceMinute
from controllers.context.training_data import TrainingData
from controllers.ttm.live import NoForecasts
from runtime.deployment.view import StateView
from runtime.names import NodeId
from runtime.operations.actor import Actor
from runtime.operations.operation import Result
from tests.unit.gate_parts import GateOnHand
from tests.unit.scaling_parts import scaling_on_hand

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
        self.parts = ApiParts(
            node=NodeId("n1"),
            store=hand.store,
            view=StateView(hand.state),  # type: ignore[arg-type]  # reads alike
            shelf=None,  # type: ignore[arg-type]  # no query asks it
            dispatcher=hand.link,
            audit=hand.audit,
            clock=hand.clock,
            catalogue=hand.desk.catalogue,
            training_data=TrainingData(HandHistory()),  # type: ignore[arg-type]  # asks alike
            telemetry=self.telemetry,
            scaling=scaling_on_hand(hand, hand.state),
            forecasts=NoForecasts(),
            join=None,  # type: ignore[arg-type]
            is_leader=lambda: True,
            leader=lambda: "n1",
            gateway_up=lambda: True,
            log=hand.log,
            file_settings={"drain_s": 3.0},
        )
        self._answers = answers(self.parts)
        self.names = set(self._answers)

    async def ask(self, name: str, actor: Actor, /, **members: object) -> Result:
        query = self.parts.catalogue.find(name)
        request = msgspec.convert(members, query.request)
        return await self._answers[name](request, actor)
