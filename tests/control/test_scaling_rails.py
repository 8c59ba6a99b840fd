"""The simulated policy of ours is the leader's: its guard rails know its own changes, and layer 2 only what is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from controllers.scaling.boosted import open_boosted
from controllers.scaling.config import ScalingConfig
from controllers.scaling.model import Forecast
from controllers.scaling.signals import WINDOW_S, LoadSignals
from controllers.scaling.tree import default_tree
from controllers.ttm.card import SHIPPED, read_model, write_model
from controllers.ttm.due import Floats
from controllers.ttm.errors import ForecastUnusable
from controllers.ttm.history import Histories
from controllers.ttm.schema import HORIZONS, QUANTILES
from evals.scaling.foreseen import SLICE, Foreseen
from evals.scaling.ours import Aether
from evals.scaling.policies import Made
from evals.scaling.policy import Past, Seen
from evals.scaling.service import ServiceModel
from evals.scaling.traces import Trace
from evals.scaling.unseen import folder_of, lineup

SECONDS = 300
CARRIES = 100.0
SEASON = 100


def moves(*, hold_s: int) -> Iterator[int]:
    """What a load that jumps up and down each five seconds makes of the number of instances, each ready at once."""
    past = Past(service=ServiceModel(), minutes=np.zeros(60), season=1_440, seconds=np.zeros(SECONDS))
    policy = Aether(past, tree=default_tree(), config=ScalingConfig(hold_s=hold_s))
    current, nothing = 2, np.zeros(SECONDS)
    for at in range(SECONDS):
        arrived = CARRIES * (8 if at // 5 % 2 else 1)
        seen = Seen(
            at_s=at,
            serving=current,
            starting=0,
            arrived=arrived,
            rate=arrived,
            backlog=0.0,
            latency_p95_s=0.1,
            utilisation=nothing,
            concurrency=nothing,
        )
        wanted = policy.wanted(seen)
        yield wanted - current
        current = wanted


def test_after_six_turns_nothing_that_serves_goes_any_more() -> None:
    """Else a study would flatter a policy by what a cluster forbids it."""
    assert 3 <= sum(move < 0 for move in moves(hold_s=0)) <= 10


class Echo:
    """Says that the newest minute goes on, and wider with each quantile."""

    def __init__(self) -> None:
        self.fails = False

    def quantiles(self, histories: Histories) -> Floats:
        if self.fails:
            raise ForecastUnusable("it gave what is no number")
        level = histories.recent[:, -1][:, None, None]
        return level * np.linspace(0.5, 1.5, len(QUANTILES))[None, None, :] * np.ones((1, HORIZONS, 1))


def said(minutes: Floats, model: Echo, *, until_s: int) -> list[Forecast | None]:
    foreseen = Foreseen(model, season=SEASON, band=None)
    found = []
    for after in range(1, until_s + 1):
        known = minutes.copy()
        known[after // 60 :] = np.nan
        foreseen.second(after, known)
        found.append(foreseen.forecast(SLICE))
    return found


def test_a_forecast_is_there_three_seconds_after_its_minute_and_knows_no_later_one() -> None:
    minutes = np.full(30, 10.0)
    minutes[12:] = 99.0
    found = said(minutes, Echo(), until_s=12 * 60 + 10)
    newest = found[12 * 60 + 2 - 1], found[12 * 60 + 3 - 1]
    assert all(each is not None and each.soon[QUANTILES.index(0.99)] < 20.0 for each in newest)
    after = said(minutes, Echo(), until_s=13 * 60 + 3)[-1]
    assert after is not None
    assert after.soon[QUANTILES.index(0.99)] > 90.0


def test_a_model_that_fails_costs_its_forecast_and_nothing_else() -> None:
    model = Echo()
    model.fails = True
    assert set(said(np.full(30, 10.0), model, until_s=14 * 60)) == {None}


def trace(name: str, origin: str) -> Trace:
    return Trace(name=name, origin=origin, load=np.ones(4), season=2)


def test_where_nothing_may_have_been_seen_the_shipped_model_does_not_stand_in(tmp_path: Path) -> None:
    """Else a study of unseen traces would be one of seen ones, and nobody would be told."""
    seen, new = trace("nasa_http_1995", "NASA"), trace("somewhere", "new")
    found = lineup([seen, new], models=None, unseen=True)
    assert found.made == {"NASA": Made(model=None), "new": Made(model=SHIPPED)}
    assert [note.split(":")[0] for note in found.notes] == ["NASA"]
    write_model(tmp_path / folder_of("new"), *read_model(SHIPPED))
    found = lineup([seen, new], models=tmp_path)
    assert found.made == {"NASA": Made(), "new": Made(model=tmp_path / "new")}
    assert ["the shipped one stands in" in note for note in found.notes] == [True]


@pytest.mark.parametrize(("origin", "folder"), [("NASA, 1995 (ITA)", "nasa--1995--ita"), ("crane", "crane")])
def test_an_origin_has_one_folder(origin: str, folder: str) -> None:
    assert folder_of(origin) == folder


def test_the_shipped_boosted_model_asks_for_more_while_a_load_rises() -> None:
    """Else what ships is another file than the one that was measured, or asks for features in another order."""
    rules = open_boosted(failed=pytest.fail)
    signals = LoadSignals()
    for _ in range(WINDOW_S):
        signals.take(1_000.0)
    still = rules.multiple(signals.features())
    for second in range(20):
        signals.take(1_000.0 + 50.0 * second)
    rising = rules.multiple(signals.features())
    assert still is not None
    assert rising is not None
    assert 1.0 <= still < 1.2
    assert rising > 1.4
