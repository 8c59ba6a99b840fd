"""The coach: drift trains a challenger, its contest decides, the gate puts it in force, and nothing else changes."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import numpy as np
import pytest

from agent_api.assemble.forecasting import chooser, train_in_process
from controllers.ttm.coach import DAYS, EVERY_S, Coach
from controllers.ttm.errors import TrainerFailed
from controllers.ttm.live import DAY_MINUTES, Span
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.training_job import TrainingJob, TrainingResult, decode_job, encode
from runtime.consensus.store import Revision
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.names import NodeId
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
    assert (await world.registry.head(1))[1] == b"weights"
    active = world.registry.active()
    assert (active.number, active.before, active.probation) == (1, 0, True)
    assert world.events()[-1] == "forecast_challenger_judged", "the gate let it through without a person"


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


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit('no memory')", "status 1: no memory"),
        ("print('hello')", "nothing"),
    ],
)
async def test_a_trainer_that_dies_or_babbles_is_a_fault_with_its_words(program: str, words: str) -> None:
    job = TrainingJob(slices=(), minutes=0, loads=b"")
    with pytest.raises(TrainerFailed, match=words):
        await train_in_process(job, (sys.executable, "-S", "-E", "-c", program))
