"""The coach: drift trains a challenger, its contest decides, the gate puts it in force, and nothing else changes."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import msgspec
import numpy as np
import pytest

from agent_api.assemble.forecasting import chooser, train_in_process
from controllers.ttm.coach import DAYS, EVERY_S, Coach
from controllers.ttm.errors import TrainerFailed
from controllers.ttm.forecast_job import ModelBytes
from controllers.ttm.live import DAY_MINUTES, Span
from controllers.ttm.records import UPLOADED, ForecastActive
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.training_job import TrainingJob, TrainingResult, decode_job, encode
from runtime.consensus.store import Revision
from runtime.content.disk import DiskContent
from runtime.content.errors import ContentDiskFull
from runtime.content.replicated import ReplicatedContent
from runtime.names import NodeId, Sha256
from runtime.state import keys
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import GateOnHand
from tests.unit.ttm_parts import NoPeers

pytestmark = pytest.mark.anyio

GOOD = TrainingResult(head=b"weights", base="b" * 64, ruling="crowned", recent=0.9, longer=0.92, older=0.99, samples=9)


class GivenMinutes:
    """Of `busy` two days are known, of `idle` one."""

    def slices(self) -> Sequence[str]:
        return ("busy", "idle")

    async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]:
        known = {"busy": (2, 600.0), "idle": (1, 1.0)}
        found = []
        for span in spans:
            days, load = known[span.slice]
            unknown = span.minutes - days * DAY_MINUTES
            found.append([math.nan] * unknown + [load] * (span.minutes - unknown))
        return found


class World:
    def __init__(self, root: Path, result: TrainingResult = GOOD) -> None:
        self.hand = GateOnHand()
        disk = DiskContent(root / "content")
        disk.open()
        content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.hand.store, peers=NoPeers())
        self.registry = ModelRegistry(store=self.hand.store, state=self.hand.state, content=content)
        self.jobs: list[TrainingJob] = []
        self.result: TrainingResult | Exception = result
        self.trained = anyio.Event()
        self.coach = Coach(
            minutes=GivenMinutes(),
            registry=self.registry,
            train=self.train,
            choose=chooser(self.hand.gate, self.hand.log),
            clock=self.hand.clock,
            log=self.hand.log,
        )

    async def train(self, job: TrainingJob) -> TrainingResult:
        self.jobs.append(job)
        self.trained.set()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    @property
    def fence(self) -> Revision:
        return self.hand.fence() or Revision(0)

    def events(self) -> list[str]:
        return [line.event for line in self.hand.log.lines]


async def test_a_crowned_challenger_is_kept_with_its_lineage_and_put_in_force_on_probation(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.coach.train("error_changed of busy", world.fence)
    (model,) = world.registry.models()
    assert (model.number, model.parent, model.cause, model.recent) == (1, 0, "error_changed of busy", 0.9)
    assert model.last_minute - model.first_minute + 1 == 2 * DAY_MINUTES
    assert (await world.registry.bytes_of(1)).head == b"weights"
    active = world.registry.active()
    assert (active.number, active.before, active.probation) == (1, 0, True)
    assert world.events()[-1] == "forecast_challenger_judged", "the gate let it through without a person"


async def test_a_challenger_of_an_uploaded_model_is_trained_on_its_graph_and_stands_on_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    own = msgspec.structs.replace(forecast_model(1, ruling=UPLOADED), graph=1, made_unix_ms=0)
    await world.registry.keep(own, b"graph and card", world.fence)
    await world.hand.put(keys.FORECAST_ACTIVE, ForecastActive(number=1, before=1))
    await world.coach.train("error_changed of busy", world.fence)
    assert (world.jobs[0].file, world.jobs[0].head) == (b"graph and card", b"")
    head = world.registry.models()[-1]
    assert (head.number, head.parent, head.graph) == (2, 1, 1)
    assert await world.registry.bytes_of(2) == ModelBytes(file=b"graph and card", head=b"weights")


async def test_one_that_lost_its_contest_is_kept_for_the_record_and_never_chosen(tmp_path: Path) -> None:
    world = World(tmp_path, TrainingResult(head=b"weights", base="b" * 64, ruling="no_gain", recent=1.01, samples=9))
    await world.coach.train("error_changed of busy", world.fence)
    assert [each.ruling for each in world.registry.models()] == ["no_gain"]
    assert world.registry.active().number == 0


@pytest.mark.parametrize(
    ("result", "event"),
    [
        (TrainingResult(refused="ttm_training_data_too_short", reason="too few"), "forecast_training_refused"),
        (TrainerFailed("the trainer ended with status 137"), "forecast_training_failed"),
    ],
)
async def test_a_training_that_is_refused_or_fails_is_told_and_changes_nothing(
    tmp_path: Path, result: TrainingResult | Exception, event: str
) -> None:
    world = World(tmp_path)
    world.result = result
    await world.coach.train("error_changed of busy", world.fence)
    assert (world.registry.models(), world.events()[-1]) == ([], event)
    trouble = world.registry.training_trouble()
    assert trouble is not None, "people look at events and status, not into a leader's log"
    assert (f"forecast_training_{trouble.state}", trouble.cause) == (event, "error_changed of busy")
    world.result = GOOD
    await world.coach.train("error_changed of busy", world.fence)
    assert world.registry.training_trouble() is None, "gone once one was trained"


async def test_a_challenger_that_cannot_be_kept_is_told_and_ends_no_service(tmp_path: Path) -> None:
    """A full disk must not take all that the leader does with it."""
    world = World(tmp_path)

    class Full(ReplicatedContent):
        async def put(self, chunks: AsyncIterator[bytes], **_how: object) -> Sha256:
            raise ContentDiskFull("the disk is full")

    world.registry._content = Full(
        node=NodeId("n1"), disk=DiskContent(tmp_path), store=world.hand.store, peers=NoPeers()
    )
    await world.coach.train("error_changed of busy", world.fence)
    trouble = world.registry.training_trouble()
    assert trouble is not None
    assert (trouble.state, trouble.code) == ("failed", ContentDiskFull.code)


async def test_it_learns_from_the_first_known_minute_on_busiest_slice_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.coach.train("asked for", world.fence)
    (job,) = world.jobs
    assert (job.slices, job.minutes) == (("busy", "idle"), 2 * DAY_MINUTES)
    loads = np.frombuffer(job.loads, dtype="<f4").reshape(2, job.minutes)
    assert (loads[0] == 600).all()
    assert np.isnan(loads[1, :DAY_MINUTES]).all()
    assert job.minutes < DAYS * DAY_MINUTES
    assert decode_job(encode(job)) == job


async def test_a_model_has_learnt_until_the_last_minute_that_was_known(tmp_path: Path) -> None:
    """Minutes that a peer tells of later are what it is judged by."""
    world = World(tmp_path)

    class UntilAnHourAgo(GivenMinutes):
        async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]:
            return [[*each[:-60], *([math.nan] * 60)] for each in await super().loads(spans)]

    world.coach._minutes = UntilAnHourAgo()
    await world.coach.train("asked for", world.fence)
    (model,), (job,) = world.registry.models(), world.jobs
    assert job.minutes == 2 * DAY_MINUTES - 60
    assert model.last_minute == world.hand.clock.unix_ms() // 60_000 - 1 - 60
    assert model.last_minute - model.first_minute + 1 == job.minutes


async def test_drift_that_lasts_trains_once_in_six_hours_and_never_amid_a_probation(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.result = TrainingResult(refused="ttm_training_data_too_short", reason="too few")
    drifted = {"busy": "error_changed", "idle": "coverage_low"}
    world.hand.clock.now_ms = int(EVERY_S * 1_000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.coach.run, world.fence)
        for _ in range(3):
            world.coach.hear(drifted)
            await world.trained.wait()
            await anyio.wait_all_tasks_blocked()
        assert len(world.jobs) == 1
        began = next(line for line in world.hand.log.lines if line.event == "forecast_training_began")
        assert began.fields["cause"] == "error_changed of busy and 1 more"
        world.hand.clock.now_ms *= 2
        await world.hand.put(keys.forecast_model(1), forecast_model(1))
        await chooser(world.hand.gate, world.hand.log)(1, 0, "by hand")
        world.coach.hear(drifted)
        await anyio.wait_all_tasks_blocked()
        assert len(world.jobs) == 1
        await chooser(world.hand.gate, world.hand.log)(0, 0, "back")
        world.coach.hear(drifted)
        await anyio.wait_all_tasks_blocked()
        assert len(world.jobs) == 2
        tasks.cancel_scope.cancel()


async def test_an_earlier_leaders_refusal_counts_as_a_training(tmp_path: Path) -> None:
    """Else each leader change of a young cluster would train and refuse anew."""
    world = World(tmp_path)
    world.result = TrainingResult(refused="ttm_training_data_too_short", reason="too few")
    await world.coach.train("error_changed of busy", world.fence)
    world.hand.clock.now_ms += int(EVERY_S * 1_000) - 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.coach.run, world.fence)
        for expected in (1, 2):
            world.coach.hear({"busy": "error_changed"})
            await anyio.wait_all_tasks_blocked()
            assert len(world.jobs) == expected
            world.hand.clock.now_ms += 1
        tasks.cancel_scope.cancel()


async def test_a_model_that_an_earlier_leader_made_counts_as_a_training(tmp_path: Path) -> None:
    world = World(tmp_path)
    made = msgspec.structs.replace(forecast_model(1), made_unix_ms=world.hand.clock.unix_ms())
    await world.hand.put(keys.forecast_model(1), made)
    world.hand.clock.now_ms += int(EVERY_S * 1_000) - 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.coach.run, world.fence)
        for expected in (0, 1):
            world.coach.hear({"busy": "error_changed"})
            await anyio.wait_all_tasks_blocked()
            assert len(world.jobs) == expected
            world.hand.clock.now_ms += 1
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit('no memory')", "status 1: no memory"),
        ("import os, sys; os.close(0); sys.exit('no room')", "status 1: no room"),
        ("print('hello')", "nothing"),
    ],
)
async def test_a_trainer_that_dies_or_babbles_is_a_fault_with_its_words(program: str, words: str) -> None:
    """Also before it has read its job, which is larger than a pipe."""
    job = TrainingJob(slices=(), minutes=0, loads=b"0" * 1_000_000)
    with pytest.raises(TrainerFailed, match=words):
        await train_in_process(job, (sys.executable, "-S", "-E", "-c", program))
