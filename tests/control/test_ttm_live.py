"""Forecasts, live: no minute is missed while models change, and whatever breaks costs forecasts and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import numpy as np
import pytest

from controllers.ttm.engine import Engine
from controllers.ttm.errors import ModelSchemaWrong, ModelUnreadable
from controllers.ttm.forecaster import Answer, OnnxForecaster
from controllers.ttm.head import Head
from controllers.ttm.head_file import ROWS, pack_head
from controllers.ttm.history import Histories
from controllers.ttm.live import STALE_S, LiveForecasts, Span, newest_minute, spans_of
from controllers.ttm.records import ForecastActive, ForecastModel, ForecastState, Standing
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.schema import HISTORY
from runtime.consensus.errors import NoQuorum
from runtime.consensus.store import Revision
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.names import NodeId
from runtime.state import keys
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import GateOnHand
from tests.unit.ttm_parts import LastValue, NoPeers

pytestmark = pytest.mark.anyio

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
    root: Path
    hand: GateOnHand = field(default_factory=GateOnHand)
    minutes: GivenMinutes = field(default_factory=lambda: GivenMinutes(orders=600.0, stock=60.0))
    shipped: GivenForecaster = field(default_factory=GivenForecaster)
    drifted: list[Mapping[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        disk = DiskContent(self.root / "content")
        disk.open()
        self.content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.hand.store, peers=NoPeers())
        self.registry = ModelRegistry(store=self.hand.store, state=self.hand.state, content=self.content)
        self.live = self.leader(lambda: Engine(cast(OnnxForecaster, self.shipped)))

    def leader(self, start: Callable[[], Engine]) -> LiveForecasts:
        return LiveForecasts(
            minutes=self.minutes,
            registry=self.registry,
            start=start,
            drifted=self.drifted.append,
            clock=self.hand.clock,
            log=self.hand.log,
        )

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

    async def model(self, bias: float, *, base: str = BASE) -> ForecastModel:
        head = Head(weight=np.zeros((ROWS, 4), np.float32), bias=np.full(ROWS, bias, np.float32))
        return await self.registry.keep(forecast_model(1), pack_head(head, base), self.fence)

    async def choose(self, number: int, *, beside: int | None = None) -> None:
        chosen = ForecastActive(number=number, before=number if beside is None else beside)
        await self.hand.put(keys.FORECAST_ACTIVE, chosen)


async def test_each_minute_all_slices_are_forecast_in_one_batch(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick()
    assert (world.median("orders"), world.median("stock"), world.median("gone")) == (600.0, 60.0, None)
    assert world.shipped.asked == [("orders", "stock")]
    assert world.state().state == "working"


async def test_without_a_slice_no_model_is_loaded(tmp_path: Path) -> None:
    """It is most of what a leader's memory grows by."""
    world = World(tmp_path, minutes=GivenMinutes())
    started: list[int] = []
    world.live = world.leader(lambda: started.append(1) or Engine(cast(OnnxForecaster, world.shipped)))
    await world.tick()
    assert not started
    world.minutes.known["orders"] = 600.0
    await world.tick(first=MINUTE + 1)
    assert (started, world.median()) == ([1], 600.0)


async def test_a_forecast_that_nobody_made_anew_is_not_trusted(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick()
    world.hand.pass_time(int(STALE_S * 1_000))
    assert world.median() == 600.0
    world.hand.pass_time(1)
    assert world.median() is None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ModelUnreadable("model.onnx is not the file that model.json describes"), "ttm_model_unreadable"),
        (ModelSchemaWrong("the model's inputs are others"), "ttm_model_schema_wrong"),
        (ImportError("no module named onnxruntime"), "ImportError"),
    ],
)
async def test_a_model_that_cannot_be_opened_leaves_layer_one_alone_and_says_why(
    tmp_path: Path, fault: Exception, code: str
) -> None:
    world = World(tmp_path)
    faults = [fault]

    def start() -> Engine:
        if faults:
            raise faults.pop()
        return Engine(cast(OnnxForecaster, world.shipped))

    world.live = world.leader(start)
    await world.tick()
    assert world.median() is None
    assert (world.state().state, world.state().code, world.state().reason) == ("degraded", code, str(fault))
    await world.tick(first=MINUTE + 1)
    assert (world.median(), world.state().state) == (600.0, "working")


async def test_a_model_that_gives_no_numbers_or_a_history_that_is_away_costs_only_its_minutes(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick()
    world.shipped.broken = True
    await world.tick(2, first=MINUTE + 1)
    assert (world.median(), world.state().code) == (None, "ttm_forecast_unusable")
    world.shipped.broken, world.minutes.fault = False, OSError("disk I/O error")
    await world.tick(first=MINUTE + 3)
    assert (world.median(), world.state().code) == (None, "OSError")
    world.minutes.fault = None
    await world.tick(first=MINUTE + 4)
    assert (world.median(), world.state().state) == (600.0, "working")
    told = [line.fields["code"] for line in world.hand.log.lines if line.event == "forecasts_degraded"]
    assert told == ["ttm_forecast_unusable", "OSError"], "each cause is told once, however long it lasts"


async def test_a_chosen_model_forecasts_from_the_next_minute_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick()
    model = await world.model(bias=0.5)
    await world.choose(model.number)
    await world.tick(first=MINUTE + 1)
    assert (world.median(), world.state().model) == (900.0, model.number)
    await world.choose(0)
    await world.tick(first=MINUTE + 2)
    assert (world.median(), world.state().model) == (600.0, 0)


async def test_a_head_that_is_damaged_foreign_or_lost_is_refused_and_the_one_in_use_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick()
    foreign = await world.model(bias=0.5, base="c" * 64)
    absurd = await world.model(bias=float("nan"))
    hollow = await world.model(bias=2 * BIAS_MAX)
    lost = forecast_model(9)
    await world.hand.put(keys.forecast_model(9), lost)
    for at, (number, code) in enumerate(
        [
            (foreign.number, "ttm_model_schema_wrong"),
            (absurd.number, "ttm_model_schema_wrong"),
            (hollow.number, "ttm_forecast_unusable"),
            (9, "ttm_model_unreadable"),
            (77, "ttm_model_unreadable"),
        ],
        start=1,
    ):
        await world.choose(number)
        await world.tick(2, first=MINUTE + 2 * at)
        assert (world.median(), world.state().state, world.state().code) == (600.0, "working", code)
        assert f"model {number} cannot be used" in world.state().reason
    refused = [line for line in world.hand.log.lines if line.event == "forecast_model_refused"]
    assert len(refused) == 5


async def test_a_probation_that_fails_is_recorded_and_the_next_leader_begins_with_the_one_before(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    model = await world.model(bias=1.0)
    await world.tick(30)
    await world.choose(model.number, beside=0)
    await world.tick(200, first=MINUTE + 30)
    active = world.registry.active()
    assert (active.number, active.probation) == (0, False)
    assert f"model {model.number} did worse" in active.why
    assert world.median() == 600.0
    settled = [line.fields["standing"] for line in world.hand.log.lines if line.event == "forecast_model_settled"]
    assert settled == [str(Standing.BACK)]


async def test_bands_survive_a_change_of_leader(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick(61, first=MINUTE - MINUTE % 15)
    kept = world.registry.factors()
    assert set(kept) == {"orders", "stock"}
    assert kept["orders"][0] < 0, "a load that never changes needs no wide bands"
    engines: list[Engine] = []

    def start() -> Engine:
        engines.append(Engine(cast(OnnxForecaster, GivenForecaster())))
        return engines[0]

    world.live = world.leader(start)
    await world.live.tick(MINUTE + 100, world.fence)
    assert engines[0].cycle.factors() == kept


async def test_a_leader_that_is_replaced_in_mid_forecast_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its thread ends, its answer is dropped, and it may lead again."""
    world = World(tmp_path)
    begun, go_on = threading.Event(), threading.Event()

    class Slow(GivenForecaster):
        def run(self, histories: Histories) -> Answer:
            begun.set()
            assert go_on.wait(10)
            return super().run(histories)

    world.live = world.leader(lambda: Engine(cast(OnnxForecaster, Slow())))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.live.run, world.fence)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
        go_on.set()
    assert world.median() is None
    await world.tick()
    assert world.median() == 600.0


async def test_without_a_quorum_forecasts_go_on_and_are_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)

    async def refuse(*_: object) -> None:
        raise NoQuorum("no quorum")

    with monkeypatch.context() as patch:
        patch.setattr(world.hand.store, "txn", refuse)
        await world.tick(2)
        assert world.median() == 600.0
        assert world.registry.state() is None
    await world.tick(first=MINUTE + 2)
    assert world.state().state == "working"


async def test_the_oldest_models_go_and_never_the_one_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controllers.ttm.registry.MODELS_MAX", 4)
    world = World(tmp_path)
    first = await world.model(bias=0.0)
    await world.choose(first.number)
    for number in range(2, 8):
        await world.model(bias=float(number))
    numbers = [each.number for each in world.registry.models()]
    assert numbers == [1, *range(4, 8)]
    assert len(world.hand.state.items(keys.CONTENT_PINS)) == 5


async def test_who_does_not_lead_any_more_keeps_and_tells_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(ModelUnreadable):
        await world.registry.keep(forecast_model(1), b"head", Revision(world.fence + 1))
    await world.live.tick(MINUTE, Revision(world.fence + 1))
    assert (world.registry.models(), world.registry.state()) == ([], None)


def test_a_minute_is_over_three_seconds_after_its_end_when_its_last_second_is_written() -> None:
    minute_ms = 60_000
    begins = MINUTE * minute_ms
    assert newest_minute(begins + 2_999).minute == MINUTE - 2
    assert newest_minute(begins + 3_000) == (MINUTE - 1, 60.0)
    assert newest_minute(begins + 62_000).minute == MINUTE - 1
    assert newest_minute(begins + 62_000).next_in_s == pytest.approx(1.0)


def test_a_forecast_looks_at_the_last_hour_and_at_the_same_minutes_with_what_followed() -> None:
    recent, day, week = spans_of("orders", 20_000)
    assert (recent.first, recent.first + recent.minutes - 1) == (20_000 - HISTORY + 1, 20_000)
    assert (day.first, day.minutes) == (recent.first - 1_440, 70)
    assert (week.first, week.minutes) == (recent.first - 7 * 1_440, 70)
