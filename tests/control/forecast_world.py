"""Live forecasts with everything around them at hand: a store, models that say what they are told to, given minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import numpy as np

from controllers.ttm.engine import carry_out
from controllers.ttm.forecast_job import ForecastAnswer, ForecastJob
from controllers.ttm.forecaster import Answer, OnnxForecaster
from controllers.ttm.head import Head
from controllers.ttm.head_file import ROWS, pack_head
from controllers.ttm.history import Histories
from controllers.ttm.live import Ask, LiveForecasts, Span
from controllers.ttm.records import ForecastActive, ForecastModel, ForecastState
from controllers.ttm.registry import ModelRegistry
from runtime.consensus.store import Revision
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.names import NodeId
from runtime.state import keys
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import GateOnHand
from tests.unit.ttm_parts import LastValue, NoPeers

BASE = "b" * 64
MINUTE = 28_000_000
BIAS_MAX = 100.0


class GivenForecaster(LastValue):
    """In the place of an OnnxForecaster: a head's first bias is how much too high it forecasts."""

    card = SimpleNamespace(sha256=BASE)

    def run(self, histories: Histories) -> Answer:
        quantiles = self.quantiles(histories).astype(np.float32)
        return Answer(quantiles=quantiles, features=quantiles[:, 0], normalisation=quantiles[:, 0, :4])

    def with_head(self, head: Head) -> GivenForecaster:
        found = GivenForecaster(bias=float(head.bias[0]))
        found.broken = found.bias > BIAS_MAX
        return found


class GivenMinutes:
    """Each slice has so many calls in every minute since it began, this one too."""

    def __init__(self, **loads: float) -> None:
        self.known = loads
        self.fault: Exception | None = None

    def slices(self) -> Sequence[str]:
        return tuple(self.known)

    async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]:
        if self.fault is not None:
            raise self.fault
        return [[self.known[span.slice]] * span.minutes for span in spans]


@dataclass
class World:
    """`opening` stands in the place of onnxruntime; jobs are carried out here instead of in a process."""

    root: Path
    hand: GateOnHand = field(default_factory=GateOnHand)
    minutes: GivenMinutes = field(default_factory=lambda: GivenMinutes(orders=600.0, stock=60.0))
    shipped: GivenForecaster = field(default_factory=GivenForecaster)
    drifted: list[Mapping[str, str]] = field(default_factory=list)
    past_minutes: int = 0
    faults: list[Exception] = field(default_factory=list)
    """That the next jobs meet."""
    jobs: list[ForecastJob] = field(default_factory=list)
    answers: list[ForecastAnswer] = field(default_factory=list)

    def __post_init__(self) -> None:
        disk = DiskContent(self.root / "content")
        disk.open()
        self.content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.hand.store, peers=NoPeers())
        self.registry = ModelRegistry(store=self.hand.store, state=self.hand.state, content=self.content)
        self.live = self.leader(self.ask)

    def leader(self, ask: Ask) -> LiveForecasts:
        return LiveForecasts(
            minutes=self.minutes,
            registry=self.registry,
            ask=ask,
            drifted=self.drifted.append,
            clock=self.hand.clock,
            log=self.hand.log,
            past_minutes=self.past_minutes,
        )

    async def ask(self, job: ForecastJob) -> ForecastAnswer:
        self.jobs.append(msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=ForecastJob))
        answer = carry_out(self.jobs[-1], self.opening)
        self.answers.append(msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=ForecastAnswer))
        return self.answers[-1]

    def opening(self, _file: bytes) -> OnnxForecaster:
        if self.faults:
            raise self.faults.pop()
        return cast(OnnxForecaster, self.shipped)

    @property
    def fence(self) -> Revision:
        return self.hand.fence() or Revision(0)

    async def tick(self, minutes: int = 1, *, first: int = MINUTE) -> None:
        for minute in range(first, first + minutes):
            await self.live.tick(minute, self.fence)

    def median(self, name: str = "orders") -> float | None:
        found = self.live.latest(name)
        return round(found.at(1, 0.5), 3) if found is not None else None

    def state(self) -> ForecastState:
        found = self.registry.state()
        assert found is not None
        return found

    async def model(self, bias: float, *, base: str = BASE, last_minute: int = 0) -> ForecastModel:
        head = Head(weight=np.zeros((ROWS, 4), np.float32), bias=np.full(ROWS, bias, np.float32))
        model = msgspec.structs.replace(forecast_model(1), last_minute=last_minute)
        return await self.registry.keep(model, pack_head(head, base), self.fence)

    async def choose(self, number: int, *, beside: int | None = None) -> None:
        chosen = ForecastActive(number=number, before=number if beside is None else beside)
        await self.hand.put(keys.FORECAST_ACTIVE, chosen)
