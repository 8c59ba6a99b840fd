"""What models learn from and are judged by: windows that hold what they should, loads by seed, figures by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from agent_api.cli.main import main
from controllers.ttm.corpus import Corpus, Series
from controllers.ttm.errors import TrainingDataUnusable
from controllers.ttm.forecaster import load_forecaster
from controllers.ttm.minutes import read_minutes
from controllers.ttm.schema import ALIGNED, HISTORY, HORIZONS, QUANTILES, WEEK_DAYS
from controllers.ttm.training.recipe import QUICK, SYNTHETIC_SHARE, prepared
from controllers.ttm.training.sampling import Sampler, Span, evenly, spans_of
from controllers.ttm.training.synthetic import PATTERNS, synthetic
from evals.forecasts.backtest import Row, backtest, moments_of, summary
from evals.forecasts.contestants import contestants
from evals.forecasts.errors import MethodUnknown
from evals.forecasts.metrics import coverage, mase, weighted_quantile_loss
from evals.scaling.errors import TracesUnusable

SEASON = 100


def counting(name: str = "counting", days: int = 9, begin: float = 0.0) -> Series:
    """Each minute's load is its number, so that windows can be read."""
    return Series(name=name, load=begin + np.arange(days * SEASON, dtype=np.float64), season=SEASON)


def noisy(days: int = 9) -> Series:
    return Series(name="noisy", load=np.random.default_rng(1).uniform(50, 150, days * SEASON), season=SEASON)


def test_a_window_holds_the_hour_the_same_of_a_day_and_a_week_ago_and_what_came() -> None:
    now = 8 * SEASON
    found = Corpus([counting("other", begin=1e6), counting()]).windows(np.array([1]), np.array([now]))
    assert found.recent[0].tolist() == list(range(now - HISTORY + 1, now + 1))
    assert found.target[0].tolist() == list(range(now + 1, now + HORIZONS + 1))
    for part, back in ((found.day_ago, SEASON), (found.week_ago, WEEK_DAYS * SEASON)):
        assert part[0].tolist() == list(range(now - back - HISTORY + 1, now - back + HORIZONS + 1))


def test_what_lies_before_a_series_is_not_known_and_never_another_series() -> None:
    found = Corpus([counting("other", begin=1e6), counting()]).windows(np.array([1]), np.array([20]))
    assert np.isnan(found.recent[0, : HISTORY - 21]).all()
    assert found.recent[0, HISTORY - 21 :].tolist() == list(range(21))
    assert np.isnan(found.day_ago).all()
    assert np.isnan(found.week_ago).all()


@pytest.mark.parametrize("series", [[], [Series(name="short", load=np.ones(ALIGNED - 1), season=SEASON)]])
def test_too_little_to_cut_windows_from_is_refused(series: list[Series]) -> None:
    with pytest.raises(TrainingDataUnusable):
        Corpus(series)


def test_what_is_held_back_is_never_learnt() -> None:
    corpus = Corpus([counting(), counting("two", days=12)])
    learn, held = spans_of(corpus, 0.2)
    for each, seen, judged in zip(corpus.series, learn, held, strict=True):
        assert seen.last + HORIZONS < judged.first < judged.last
        assert judged.last + HORIZONS == len(each.load) - 1
        assert judged.last - judged.first == pytest.approx(0.2 * len(each.load), abs=HORIZONS + 1)
    windows = evenly(corpus, held, 7)
    assert windows.target.shape == (14, HORIZONS)
    assert windows.recent[0, -1] == held[0].first


def test_the_same_seed_draws_the_same_windows_and_spoils_some() -> None:
    corpus = Corpus([counting(), noisy()])
    spans = [Span(first=800, last=880), Span(first=800, last=880, weight=2.0)]  # a week ago is known
    first, again, other = (Sampler(corpus, spans, seed).draw(400) for seed in (1, 1, 2))
    assert np.array_equal(first.recent, again.recent, equal_nan=True)
    assert not np.array_equal(first.recent, other.recent, equal_nan=True)
    assert 0.0 < np.isnan(first.recent).mean() < 0.1
    assert not np.isnan(first.target).any()
    without_week, without_day = (np.isnan(part).all(axis=1) for part in (first.week_ago, first.day_ago))
    assert 0 < without_day.sum() < without_week.sum()
    assert (without_week | ~without_day).all()


def test_synthetic_loads_have_every_pattern_and_are_the_same_for_a_seed() -> None:
    first, again, other = synthetic(1, 1), synthetic(1, 1), synthetic(2, 1)
    assert [each.name for each in first] == [f"{name}-0" for name in PATTERNS]
    for one, same, else_ in zip(first, again, other, strict=True):
        assert np.array_equal(one.load, same.load)
        assert not np.array_equal(one.load, else_.load)
        assert np.isfinite(one.load).all()
        assert one.load.min() >= 0
        assert one.load.max() > 0


def wave(days: int) -> Series:
    at = np.arange(days * SEASON)
    return Series(name="wave", load=100 + 60 * np.sin(2 * np.pi * at / SEASON), season=SEASON)


def test_traces_and_synthetic_loads_are_learnt_and_only_traces_judge() -> None:
    """All that training does before PyTorch; `./aether test training` does the rest."""
    corpus, learn, held = prepared([wave(9), noisy()], QUICK)
    assert len(corpus.series) == len(learn) == 2 + QUICK.rounds * len(PATTERNS)
    assert sum(each.weight for each in learn) == pytest.approx(1.0)
    assert sum(each.weight for each in learn[:2]) == pytest.approx(1.0 - SYNTHETIC_SHARE)
    assert len(held) == 2
    for taught, judged in zip(learn[:2], held, strict=True):
        assert taught.last + HORIZONS <= judged.first


@pytest.mark.parametrize("traces", [[], [wave(1)]])
def test_traces_that_are_too_short_are_refused(traces: list[Series]) -> None:
    with pytest.raises(TrainingDataUnusable):
        prepared(traces, QUICK)


def test_figures_are_what_a_hand_would_calculate() -> None:
    quantiles = np.broadcast_to(np.array([5.0, 6, 8, 10, 12, 14, 15, 20]), (1, HORIZONS, len(QUANTILES)))
    actual = np.full((1, HORIZONS), 13.0)
    assert mase(quantiles, actual, 2.0) == pytest.approx(1.5)
    # errors 7, 5, 3, 1, -1 at 0.1, 0.25, 0.5, 0.75, 0.9
    by_hand = 2 * (0.1 * 7 + 0.25 * 5 + 0.5 * 3 + 0.75 * 1 + 0.1 * 1) / 5 / 13
    assert weighted_quantile_loss(quantiles, actual) == pytest.approx(by_hand)
    assert coverage(quantiles, actual) == 1.0
    assert coverage(quantiles, actual + 3) == 0.0


def test_nobody_looks_beyond_the_moment_of_the_forecast() -> None:
    series = noisy()
    newest = moments_of(series, 5)
    for name, method in contestants(load_forecaster(), "ttm,naive,seasonal-naive").methods.items():
        for row, now in enumerate(newest.tolist()):
            future = np.concatenate([series.load[: now + 1], np.full(len(series.load) - now - 1, 1e5)])
            blind = method(Series(name="blind", load=future, season=SEASON), newest)[row]
            assert np.array_equal(blind, method(series, newest)[row]), name


def test_a_backtest_has_a_row_for_each_trace_and_method_and_knows_who_did_well() -> None:
    asked = contestants(load_forecaster(), "naive,seasonal-naive")
    rows = backtest([counting(), noisy()], dict(asked.methods), moments=6)
    by = {(row.trace, row.method): row for row in rows}
    assert len(by) == 4
    assert by["counting", "naive"].mase < by["counting", "seasonal-naive"].mase
    assert summary(rows).mean is None
    with pytest.raises(MethodUnknown, match="prophet"):
        contestants(load_forecaster(), "ttm,prophet")


def test_a_backtest_asks_only_where_all_is_known_and_in_the_part_that_is_wanted() -> None:
    series = noisy()
    series.load[300:320] = np.nan
    newest = moments_of(series, 1000)
    assert not {*range(290, 379)} & set(newest.tolist())
    assert {SEASON, 289, 379, len(series.load) - HORIZONS - 1} <= set(newest.tolist())
    assert moments_of(series, 5, 0.15)[0] >= 0.85 * len(series.load)
    rows = backtest([series], dict(contestants(load_forecaster(), "ttm,naive,seasonal-naive").methods), moments=9)
    assert all(np.isfinite([row.mase, row.weighted_quantile_loss, row.coverage_90]).all() for row in rows)
    series.load[1::37] = np.nan
    gappy = moments_of(series, 1000)
    assert len(gappy) > 100, "a minute that is missing in every hour leaves enough to judge by"
    assert not np.isnan(series.load[gappy[:, None] + np.arange(HORIZONS + 1)]).any()
    rows = backtest([series], dict(contestants(load_forecaster(), "ttm,naive,seasonal-naive").methods), moments=9)
    assert all(np.isfinite([row.mase, row.weighted_quantile_loss, row.coverage_90]).all() for row in rows)
    series.load[1::2] = np.nan
    with pytest.raises(TracesUnusable, match="all is known"):
        moments_of(series, 5)


def test_the_summary_compares_with_the_best_of_the_statistical_methods() -> None:
    def row(method: str, loss: float) -> Row:
        return Row(trace="t", method=method, mase=1.0, weighted_quantile_loss=loss, coverage_90=0.9, ms_per_series=1.0)

    found = summary([row("ttm", 0.8), row("naive", 0.1), row("ets", 2.0), row("theta", 1.0)])
    assert found.loss_vs_best == {"t": pytest.approx(0.8)}
    assert found.mean == pytest.approx(0.8)


def test_the_backtest_command_reads_traces_and_prints_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "wave.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "value"])
        rows.writerows([300 * at, 100 + 50 * np.sin(2 * np.pi * at / 288)] for at in range(288 * 3))
    words = ["ttm", "backtest", "--traces", str(tmp_path), "--moments", "8", "--methods", "ttm,naive"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    losses = {row["method"]: row["weighted_quantile_loss"] for row in told["rows"]}
    assert losses["ttm"] < losses["naive"]
    assert main(words) == 0
    assert "IN 90 %" in capsys.readouterr().out


def test_minutes_of_a_cluster_become_a_series_for_each_slice_with_its_gaps(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text(
        "slice,version,minute,schema_version,cpu_usage,invocations\n"
        "b,1,100,1,0.1,5\nb,1,101,1,0.1,\nb,1,103,1,0.1,7\nb,2,103,1,0.1,2\na,1,100,1,0.1,1\n"
    )
    a, b = read_minutes(file)
    assert (a.name, b.name, b.season) == ("a", "b", 1440)
    assert np.array_equal(b.load, [5, np.nan, np.nan, 9], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("slice,minute\na,1\n", "no column invocations"),
        ("slice,minute,invocations\na,1,5\na,x,5\n", "line 3"),
        ("slice,minute,invocations\na,1,-5\n", "no load"),
        ("slice,minute,invocations\na,1,5\na,99999999,5\n", "years apart"),
    ],
)
def test_minutes_that_are_none_are_refused_with_their_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(TrainingDataUnusable, match=why):
        read_minutes(tmp_path / "data.csv")


def test_training_without_its_packages_says_which_extra_brings_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["ttm", "train", "--traces", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "[train]" in capsys.readouterr().err


def minutes_file(path: Path, days_of: dict[str, float]) -> Path:
    lines = [f"{name},{minute},{minute % 7}" for name, days in days_of.items() for minute in range(int(days * 1_440))]
    path.write_text("\n".join(["slice,minute,invocations", *lines]) + "\n")
    return path


def test_a_slice_that_came_yesterday_does_not_keep_the_others_from_being_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export of a cluster always has young slices; whoever follows the guide must not have to pick them out."""
    file = minutes_file(tmp_path / "minutes.csv", {"orders": 2.5, "young": 0.5, "newborn": 0.01})
    assert main(["ttm", "backtest", "--minutes", str(file), "--methods", "ttm", "--moments", "5"]) == 0
    said = capsys.readouterr()
    assert ("orders" in said.out, "young" in said.out) == (True, False)
    assert "left out, as fewer than 2 days of them are known: newborn (0.0), young (0.5)" in said.err


def test_where_all_are_too_young_nothing_is_left_out_and_the_reason_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = minutes_file(tmp_path / "minutes.csv", {"young": 0.5})
    assert main(["ttm", "backtest", "--minutes", str(file), "--methods", "ttm"]) == 1
    assert "young has no ten minutes after its first day" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--moments", "0"], ["--moments", "-1"], ["--steps", "0"], ["--seed", "-3"], ["--moments", "x"]]
)
def test_a_number_that_cannot_be_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Not an error from deep inside the model's run."""
    with pytest.raises(SystemExit, match="2"):
        main(["ttm", "backtest", "--traces", "somewhere", *words])
    assert "no whole number" in capsys.readouterr().err
