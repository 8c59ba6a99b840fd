"""The model that comes with the package, and what becomes of one that must not be used."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent_api.cli.main import main
from controllers.ttm.card import CARD_FILE, MODEL_FILE, SHIPPED, read_model
from controllers.ttm.errors import ForecastUnusable, HistoryInvalid, ModelSchemaWrong, ModelUnreadable
from controllers.ttm.forecaster import Head, OnnxForecaster, forecaster_of, load_forecaster
from controllers.ttm.head import normalised, quantiles_of
from controllers.ttm.history import Floats, Histories
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS, MODEL_BYTES_MAX, QUANTILES
from controllers.ttm.validation import validate

HEAD_ROWS = HORIZONS * len(QUANTILES)
ONE_NODE = base64.b64decode(  # a sound graph: y [n, 3] is x [n, 3]
    "CAg6QQoQCgF4EgF5IghJZGVudGl0eRIBZ1oUCgF4Eg8KDQgBEgkKAxIBbgoCCANiFAoBeRIPCg0IARIJCgMSAW4KAggDQgQKABAR"
)


@pytest.fixture(scope="module")
def forecaster() -> OnnxForecaster:
    return load_forecaster()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in (MODEL_FILE, CARD_FILE):
        shutil.copy(SHIPPED / name, tmp_path / name)
    return tmp_path


def histories(count: int = 3, seed: int = 1) -> Histories:
    chance = np.random.default_rng(seed)
    recent, day_ago, week_ago = (
        chance.uniform(100, 1_000, (count, width)).astype(np.float32) for width in (HISTORY, ALIGNED, ALIGNED)
    )
    return Histories(
        slices=tuple(f"slice-{at}" for at in range(count)), recent=recent, day_ago=day_ago, week_ago=week_ago
    )


def head(forecaster: OnnxForecaster, value: float | None = None) -> Head:
    width = forecaster.run(histories(1)).features.shape[1]
    weight = np.random.default_rng(2).normal(0, 0.05, (HEAD_ROWS, width))
    weight = weight if value is None else np.full((HEAD_ROWS, width), value)
    return Head(weight=weight.astype(np.float32), bias=np.zeros(HEAD_ROWS, dtype=np.float32))


def changed(directory: Path, **members: object) -> None:
    path = directory / CARD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def test_the_shipped_model_passes_every_probe_and_is_small(forecaster: OnnxForecaster) -> None:
    assert validate(forecaster, clock=lambda: 0.0).failures == ()
    assert (SHIPPED / MODEL_FILE).stat().st_size < MODEL_BYTES_MAX
    assert not forecaster.card.lineage.parent


def test_a_forecast_is_one_for_each_slice_and_the_same_in_any_company(forecaster: OnnxForecaster) -> None:
    asked = histories(5)
    together = forecaster.forecast(asked)
    assert [each.slice for each in together] == list(asked.slices)
    alone = forecaster.forecast(asked.only(np.array([False, False, True, False, False])))
    assert np.allclose(alone[0].quantiles, together[2].quantiles, rtol=1e-4)
    assert together[2].at(3, 0.95) == together[2].quantiles[2 * len(QUANTILES) + QUANTILES.index(0.95)]
    with pytest.raises(HistoryInvalid, match="reach from 1 to 10"):
        together[2].at(0, 0.95)


def test_of_slices_that_too_little_is_known_of_there_is_no_forecast(forecaster: OnnxForecaster) -> None:
    asked = histories(4)
    asked.recent[0, :-9] = np.nan  # nine minutes known
    asked.recent[1, -3:] = np.inf  # nothing known of late
    asked.recent[2, :-9] = -1.0  # the others are no loads
    assert [each.slice for each in forecaster.forecast(asked)] == ["slice-3"]
    assert forecaster.forecast(asked.only(np.zeros(4, dtype=bool))) == []


def test_histories_of_another_shape_are_refused() -> None:
    good = histories(2)
    with pytest.raises(HistoryInvalid, match="day_ago"):
        Histories(slices=good.slices, recent=good.recent, day_ago=good.recent, week_ago=good.week_ago)


def test_the_graph_and_numpy_agree_on_what_a_head_says(forecaster: OnnxForecaster) -> None:
    """Else a challenger's head would be fitted to something that the model does not do."""
    given, asked = head(forecaster), histories()
    found = forecaster.with_head(given).run(asked)
    ours = quantiles_of(found.features @ given.weight.T + given.bias, found.normalisation)
    theirs = normalised(found.quantiles.reshape(len(asked.slices), -1), found.normalisation).reshape(ours.shape)
    within = theirs > normalised(np.zeros((len(asked.slices), 1), np.float32), found.normalisation)[:, :, None]
    assert within.mean() > 0.5  # the others are loads of nothing, which no lower quantile lies below
    assert np.allclose(ours[within], theirs[within], atol=2e-3)


def test_another_head_is_another_forecaster_and_the_first_one_stays(forecaster: OnnxForecaster) -> None:
    asked = histories()
    before = forecaster.run(asked).quantiles
    assert not np.allclose(forecaster.with_head(head(forecaster)).run(asked).quantiles, before)
    assert np.array_equal(forecaster.run(asked).quantiles, before)


def test_a_head_of_another_shape_is_refused(forecaster: OnnxForecaster) -> None:
    wrong = Head(weight=np.zeros((HEAD_ROWS, 3), np.float32), bias=np.zeros(HEAD_ROWS, np.float32))
    with pytest.raises(ModelSchemaWrong, match="head"):
        forecaster.with_head(wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_gives_no_numbers_is_a_fault_and_fails_validation(
    forecaster: OnnxForecaster, value: float
) -> None:
    broken = forecaster.with_head(head(forecaster, value))
    with pytest.raises(ForecastUnusable, match="no number"):
        broken.forecast(histories())
    assert validate(broken, clock=lambda: 0.0).failures


def test_a_damaged_model_is_refused(copy: Path) -> None:
    raw = bytearray((copy / MODEL_FILE).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / MODEL_FILE).write_bytes(raw)
    with pytest.raises(ModelUnreadable, match="SHA-256"):
        load_forecaster(copy)


@pytest.mark.parametrize("name", [MODEL_FILE, CARD_FILE])
def test_a_missing_or_endless_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b" " * 1_000_000)
    with pytest.raises(ModelUnreadable, match="larger"):
        load_forecaster(copy)
    (copy / name).unlink()
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        load_forecaster(copy)


@pytest.mark.parametrize(
    "members", [{"schema_version": 2}, {"horizons_minutes": 5}, {"quantiles": [0.1, 0.5, 0.9]}, {"history_minutes": 30}]
)
def test_a_card_of_another_schema_is_refused(copy: Path, members: dict[str, object]) -> None:
    changed(copy, **members)
    with pytest.raises(ModelSchemaWrong):
        load_forecaster(copy)


def test_a_card_that_is_none_is_refused(copy: Path) -> None:
    changed(copy, sha256="abc")
    with pytest.raises(ModelUnreadable, match="card"):
        load_forecaster(copy)


def test_a_graph_that_is_none_or_another_one_is_refused_whatever_its_card_says() -> None:
    _, card = read_model(SHIPPED)
    with pytest.raises(ModelUnreadable, match="onnxruntime"):
        forecaster_of(b"not a graph", card)
    with pytest.raises(ModelSchemaWrong, match="inputs"):
        forecaster_of(ONE_NODE, card)


def test_validate_and_export_tell_sound_models_from_damaged_ones(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ttm", "export", "--out", str(tmp_path / "out")]) == 0
    assert main(["ttm", "validate", "--model", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert told["failures"] == []
    assert told["card"] == json.loads(msgspec.json.encode(load_forecaster().card))
    changed(copy, schema_version=9)
    assert main(["ttm", "export", "--model", str(copy), "--out", str(tmp_path / "never")]) == 1
    assert "schema, history, horizons and quantiles are (9," in capsys.readouterr().err
    assert not (tmp_path / "never").exists()


def test_the_median_of_a_ramp_climbs_and_of_a_flat_load_does_not(forecaster: OnnxForecaster) -> None:
    def medians(load: Floats) -> Floats:
        nothing = np.full((1, ALIGNED), np.nan, dtype=np.float32)
        asked = Histories(slices=("one",), recent=load[None], day_ago=nothing, week_ago=nothing)
        said = forecaster.forecast(asked)[0]
        return np.array([said.at(minutes, 0.5) for minutes in range(1, HORIZONS + 1)])

    climbing = medians(np.linspace(100, 1_000, HISTORY, dtype=np.float32))
    assert climbing[-1] > climbing[0] > 950
    assert np.ptp(medians(np.full(HISTORY, 500, dtype=np.float32))) < 25
