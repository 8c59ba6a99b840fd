"""From what slices did to a challenger: cut in time without a leak, refused when short, and the same each time."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from agent_api.assemble.forecasting import train_in_process
from controllers.ttm.card import SHIPPED, read_model
from controllers.ttm.challenger import FitPolicy
from controllers.ttm.contest import ContestPolicy
from controllers.ttm.errors import ModelUnreadable, TrainingDataTooShort
from controllers.ttm.forecaster import OnnxForecaster, load_forecaster
from controllers.ttm.graph_tensors import float_tensors, own_head
from controllers.ttm.head_file import pack_head, unpack_head
from controllers.ttm.retraining import MINUTES_MIN, SAMPLES_MAX, carry_out, cut_of, retrain
from controllers.ttm.retraining import _evenly as evenly
from controllers.ttm.schema import HEAD_BIAS, HEAD_WEIGHT, HISTORY, HORIZONS
from controllers.ttm.training_job import TrainingJob
from controllers.ttm.validation import Probe, histories_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def graph() -> bytes:
    return read_model(SHIPPED)[0]


@pytest.fixture(scope="module")
def shipped() -> OnnxForecaster:
    return load_forecaster()


def saw(minutes: int = MINUTES_MIN) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A load that no day knows: every 25 minutes it climbs and falls, with a little noise."""
    at = np.arange(minutes)
    return 600 + 400 * (at % 25) / 25 + np.random.default_rng(3).normal(0, 10, minutes)


def test_the_head_that_is_read_from_the_graph_is_the_one_that_forecasts(graph: bytes, shipped: OnnxForecaster) -> None:
    """A fit that began elsewhere would compare a challenger with a champion that nobody has."""
    exchanged = shipped.with_head(own_head(graph))
    for make in Probe.MADE.values():
        asked = histories_of(make(), known_before=True)
        assert np.array_equal(exchanged.run(asked).quantiles, shipped.run(asked).quantiles)


def test_a_graph_that_is_cut_short_or_no_graph_is_unreadable(graph: bytes) -> None:
    assert {HEAD_WEIGHT, HEAD_BIAS} <= float_tensors(graph).keys()
    for raw in (graph[:-3], b"\xff" * 100, b"not a graph at all"):
        with pytest.raises(ModelUnreadable):
            own_head(raw)


def test_no_window_reaches_into_the_next_part() -> None:
    """Otherwise the contest would judge a challenger on what it has learnt."""
    cut = cut_of(MINUTES_MIN)
    assert cut.learn[1] + HORIZONS < cut.check[0]
    assert cut.check[1] + HORIZONS < cut.held_back[0]
    assert cut.held_back[1] + HORIZONS < MINUTES_MIN
    assert cut.learn[0] == HISTORY


@pytest.mark.parametrize(("series", "minutes"), [(1, 700), (7, 700), (200, 5_040), (3, 3 * SAMPLES_MAX)])
def test_what_is_judged_lies_evenly_in_time_and_over_slices_within_the_limit(series: int, minutes: int) -> None:
    which, at = evenly(series, (100, 100 + minutes - 1))
    assert len(which) <= max(SAMPLES_MAX, series)
    assert (np.diff(at) >= 0).all()
    assert (at[0], at[-1]) == (100, 100 + minutes - 1)
    assert set(which.tolist()) == set(range(series))


@pytest.mark.slow
def test_a_load_that_the_model_did_not_know_is_learnt_and_the_challenger_crowned(
    graph: bytes, shipped: OnnxForecaster
) -> None:
    policy = FitPolicy(steps=50, batch=256, rate=3e-3, near=0.0)
    contest = ContestPolicy(blocks_min=3)
    done = retrain(shipped, own_head(graph), [("orders", saw())], fit_policy=policy, contest=contest)
    assert done.verdict.crowned, done.verdict
    assert done.verdict.longer < 0.9
    again = unpack_head(pack_head(done.fitted.head, "a" * 64), "a" * 64)
    assert np.array_equal(again.weight, done.fitted.head.weight)


def test_less_than_two_days_are_refused_with_how_much_there_is(graph: bytes, shipped: OnnxForecaster) -> None:
    with pytest.raises(TrainingDataTooShort, match=rf"{MINUTES_MIN - 1} minutes .*{MINUTES_MIN}"):
        retrain(shipped, own_head(graph), [("orders", saw()[1:])])


@pytest.mark.parametrize("loads", [np.full(MINUTES_MIN, np.nan), saw()[: MINUTES_MIN // 2]])
def test_a_job_that_cannot_be_done_is_answered_with_a_refusal(
    graph: bytes, shipped: OnnxForecaster, loads: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    job = TrainingJob(slices=("orders",), minutes=len(loads), loads=loads.astype("<f4").tobytes())
    result = carry_out(job, shipped, own_head(graph))
    assert (result.refused, result.head) == ("ttm_training_data_too_short", b"")


def test_a_champion_of_another_graph_is_refused(graph: bytes, shipped: OnnxForecaster) -> None:
    head = pack_head(own_head(graph), "c" * 64)
    job = TrainingJob(slices=("orders",), minutes=1, loads=b"\0\0\0\0", head=head)
    assert carry_out(job, shipped, own_head(graph)).refused == "ttm_model_schema_wrong"


@pytest.mark.slow
async def test_the_trainer_is_a_process_that_answers(shipped: OnnxForecaster) -> None:
    """As the leader starts it; what it answers belongs to the shipped graph."""
    job = TrainingJob(slices=("orders",), minutes=60, loads=b"\0" * 240)
    result = await train_in_process(job, (sys.executable, "-P", "-m", "agent_api.assemble.trainer"))
    assert result.refused == "ttm_training_data_too_short"
    assert "60 minutes" in result.reason
