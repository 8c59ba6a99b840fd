"""Training itself: it runs, repeats, and what it makes can be used. `./aether test training` brings PyTorch along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from controllers.ttm.card import read_model
from controllers.ttm.corpus import Series
from controllers.ttm.forecaster import forecaster_of
from controllers.ttm.history import Histories
from controllers.ttm.schema import ALIGNED, HISTORY
from controllers.ttm.training.export import export
from controllers.ttm.training.making import make
from controllers.ttm.training.mixer import Mixer, loads_of
from controllers.ttm.training.recipe import QUICK
from controllers.ttm.validation import validate
from evals.forecasts import left_out
from evals.scaling.traces import Trace

SEASON = 288


def wave(days: int = 3) -> Series:
    at = np.arange(days * SEASON)
    load = 100 + 60 * np.sin(2 * np.pi * at / SEASON) + np.random.default_rng(1).normal(0, 2, len(at))
    load[200:230] = np.nan
    return Series(name="wave", load=load, season=SEASON)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_model_and_it_forecasts_what_it_was_taught() -> None:

    losses: list[float] = []
    recipe = replace(QUICK, steps=12)
    first, again = (make([wave()], recipe, command="test", told=lambda _, loss: losses.append(loss)) for _ in "12")
    assert first.card == again.card
    assert losses[-1] < losses[0]
    forecaster = forecaster_of(first.graph, first.card)
    assert not [each for each in validate(forecaster, clock=lambda: 0.0).failures if not each.startswith("constant")]
    assert first.card.lineage.traces.keys() == {"wave"}
    assert 0 < first.card.quality.weighted_quantile_loss < 1


@pytest.mark.slow
def test_the_graph_says_what_the_model_in_training_says() -> None:

    torch.manual_seed(3)
    mixer = Mixer().eval()
    chance = np.random.default_rng(1)
    recent, day_ago, week_ago = (
        chance.uniform(0, 500, (4, width)).astype(np.float32) for width in (HISTORY, ALIGNED, ALIGNED)
    )
    recent[0, 10:20], week_ago[1] = np.nan, np.nan
    card = make([wave()], replace(QUICK, steps=1), command="", told=lambda *_: None).card
    asked = Histories(slices=tuple("abcd"), recent=recent, day_ago=day_ago, week_ago=week_ago)
    found = forecaster_of(export(mixer), card).run(asked)
    with torch.no_grad():
        quantiles, features, normalisation = mixer(*map(torch.from_numpy, (recent, day_ago, week_ago)))
    assert np.allclose(found.features, features.numpy(), atol=1e-4)
    assert np.allclose(found.quantiles, loads_of(quantiles, normalisation).numpy(), rtol=1e-3, atol=1e-2)


@pytest.mark.slow
def test_models_that_never_saw_an_origin_are_made_where_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_out, "STEPS", 1)
    traces = [
        Trace(name=name, origin=name, load=np.nan_to_num(wave().load, nan=100.0), season=SEASON)
        for name in ("one", "other")
    ]
    said: list[str] = []
    for _ in range(2):
        left_out.make_missing(traces, tmp_path, told=lambda origin, *_: said.append(origin))
    assert {*said} == {"one", "other"}
    assert len(said) == 2
    assert read_model(tmp_path / "one")[1].lineage.traces.keys() == {"other"}
