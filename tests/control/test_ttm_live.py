"""Forecasts, live: no minute is missed while models change, and whatever breaks costs forecasts and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import numpy as np
import pytest

from controllers.context.errors import HistoryAway
from controllers.ttm.cycle import Cycle
from controllers.ttm.errors import ForecasterFailed, ModelSchemaWrong, ModelUnreadable
from controllers.ttm.forecast_job import ForecastAnswer, ForecastJob
from controllers.ttm.live import STALE_S, Span, newest_minute, spans_of
from controllers.ttm.schema import HISTORY
from controllers.ttm.standing import Standing
from runtime.consensus.errors import NoQuorum
from runtime.consensus.store import Revision
from runtime.state import keys
from tests.control.forecast_world import BIAS_MAX, MINUTE, GivenMinutes, World
from tests.unit.forecast_records import forecast_model
from tests.unit.ttm_parts import LastValue, histories

pytestmark = pytest.mark.anyio


async def test_each_minute_all_slices_are_forecast_in_one_batch(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick()
    assert (world.median("orders"), world.median("stock"), world.median("gone")) == (600.0, 60.0, None)
    assert world.shipped.asked == [("orders", "stock")]
    assert world.state().state == "working"


async def test_without_a_slice_or_enough_known_minutes_no_process_is_started(tmp_path: Path) -> None:
    """It takes a third of a second of a core, and for that long as much memory as all of control."""
    world = World(tmp_path, minutes=GivenMinutes())
    await world.tick()
    assert not world.jobs
    world.minutes.known["orders"] = float("nan")
    await world.tick(3, first=MINUTE + 1)
    assert len(world.jobs) == 1, "the first minute of a lead finds out whether the model can be used"
    assert (world.median(), world.state().state) == (None, "working")
    world.minutes.known["orders"] = 600.0
    await world.tick(first=MINUTE + 4)
    assert (len(world.jobs), world.median()) == (2, 600.0)


async def test_what_is_learnt_goes_on_from_process_to_process(tmp_path: Path) -> None:
    """Bands, errors, and what waits for its minute: a process that was asked once knows what one would that stayed."""
    world = World(tmp_path, minutes=ChangingMinutes(orders=600.0))
    await world.tick(260, first=MINUTE - 200)
    stayed, drifted = Cycle(LastValue()), []
    for job in world.jobs:
        recent = np.frombuffer(job.loads[0], dtype=np.float32)
        drifted.append(dict(stayed.minute(job.minute, histories({"orders": recent.tolist()})).drifted))
    assert [each.drifted for each in world.answers] == drifted
    assert sorted(map(dict, {tuple(each.items()) for each in drifted}), key=len) == [{}, {"orders": "error_changed"}]
    assert world.answers[-1].factors == stayed.factors()


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
    ],
)
async def test_a_model_that_cannot_be_opened_leaves_layer_one_alone_and_says_why(
    tmp_path: Path, fault: Exception, code: str
) -> None:
    world = World(tmp_path, faults=[fault])
    await world.tick()
    assert world.median() is None
    assert (world.state().state, world.state().code, world.state().reason) == ("degraded", code, str(fault))
    await world.tick(first=MINUTE + 1)
    assert (world.median(), world.state().state) == (600.0, "working")


async def test_a_process_that_gives_nothing_costs_its_minute_and_what_was_learnt_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.tick(3)
    fails = [ForecasterFailed("the forecaster gave nothing: it ended with status -9")]

    async def ask(job: ForecastJob) -> ForecastAnswer:
        if fails:
            raise fails.pop()
        return await world.ask(job)

    world.live._ask = ask
    await world.tick(first=MINUTE + 3)
    assert (world.median(), world.state().state, world.state().code) == (None, "degraded", "ttm_forecaster_failed")
    assert "status -9" in world.state().reason
    await world.tick(first=MINUTE + 4)
    assert (world.median(), world.state().state) == (600.0, "working")
    assert world.jobs[-1].state == world.answers[2].state


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
    world.live = world.leader(world.ask)
    await world.live.tick(MINUTE + 100, world.fence)
    assert world.answers[-1].factors == kept


class ChangingMinutes(GivenMinutes):
    """600 calls in each minute, until they waver in the last hundred."""

    async def loads(self, spans: Sequence[Span]) -> Sequence[Sequence[float]]:
        return [[wavering(span.first + at) for at in range(span.minutes)] for span in spans]


def wavering(minute: int) -> float:
    return 600.0 if minute < MINUTE - 100 else 300.0 + 600.0 * (minute % 2)


@pytest.mark.parametrize(("trained_until", "is_told"), [(MINUTE - 720, True), (MINUTE, False)])
async def test_a_new_leader_knows_how_forecasts_have_done(tmp_path: Path, trained_until: int, *, is_told: bool) -> None:
    """Else every change of leader would put off by hours what drift asks for; what was answered is not told again."""
    world = World(tmp_path, minutes=ChangingMinutes(orders=600.0), past_minutes=300)
    await world.model(bias=0.0, last_minute=trained_until)
    await world.tick()
    assert [set(each) for each in world.drifted] == ([{"orders"}] if is_told else [])
    said = world.live.said("orders")
    assert [each.minute for each in said] == list(range(said[0].minute, MINUTE + 2)), "no minute is missing"
    assert (len(said), said[-2].rate) == (60, wavering(MINUTE) / 60)


@pytest.mark.parametrize(("learnt_until", "number"), [(MINUTE - 240, 0), (MINUTE - 60, 1)])
async def test_a_probation_goes_on_under_a_new_leader(tmp_path: Path, learnt_until: int, number: int) -> None:
    """Judged by the minutes since the model learnt, whoever led in them: two hours are enough to go back."""
    world = World(tmp_path, past_minutes=300)
    model = await world.model(bias=1.0, last_minute=learnt_until)
    await world.choose(model.number, beside=0)
    await world.tick()
    assert world.registry.active().number == number
    assert world.median() == (1_200.0 if number else 600.0)


async def test_a_past_that_cannot_be_read_costs_no_forecast(tmp_path: Path) -> None:
    world = World(tmp_path, past_minutes=300)

    async def loads(spans: Sequence[Span]) -> Sequence[Sequence[float]]:
        if spans[0].minutes > HISTORY:
            raise HistoryAway("a disk that fails")
        return [[600.0] * span.minutes for span in spans]

    world.minutes.loads = loads  # type: ignore[method-assign]
    await world.tick()
    assert world.median() == 600.0
    assert "forecasts_not_caught_up" in [line.event for line in world.hand.log.lines]


async def test_a_past_that_takes_too_long_is_left_out_of_the_next_minute(tmp_path: Path) -> None:
    """Else a slow machine would try it each minute, and never forecast."""
    world = World(tmp_path, past_minutes=300)
    tried: list[ForecastJob] = []

    async def ask(job: ForecastJob) -> ForecastAnswer:
        tried.append(job)
        if job.past is not None:
            raise TimeoutError
        return await world.ask(job)

    world.live._ask = ask
    await world.tick(2)
    assert [job.past is not None for job in tried] == [True, False]
    assert (world.median(), world.state().state) == (600.0, "working")


async def test_a_leader_that_is_replaced_in_mid_forecast_leaves_nothing_behind(tmp_path: Path) -> None:
    """Nobody waits for its process any more, and it may lead again, with nothing of what it knew."""
    world = World(tmp_path)
    asked, ended = anyio.Event(), anyio.Event()

    async def ask(_job: ForecastJob) -> ForecastAnswer:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    await world.tick()
    world.live._ask = ask
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.live.run, world.fence)
        await asked.wait()
        tasks.cancel_scope.cancel()
    assert ended.is_set()
    assert world.median() is None
    world.live._ask = world.ask
    await world.tick()
    assert (world.median(), world.jobs[-1].state) == (600.0, b"")


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
    monkeypatch.setattr("controllers.ttm.records.MODELS_MAX", 4)
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
