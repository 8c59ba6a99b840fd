"""The boosted model as it is fitted, and as control asks it: without onnxruntime, and with its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from controllers.scaling.boosted import INPUT, SHIPPED, BoostedRules, open_boosted
from controllers.scaling.signals import FEATURES
from evals.scaling import boosting
from evals.scaling.distil import Samples

COUNT = 2_000


def moments() -> Samples:
    """One in five needs three times the rate where the first feature is above 0.5, and none does below."""
    chance = np.random.default_rng(1)
    features = chance.random((COUNT, len(FEATURES)))
    rare = (features[:, 0] > 0.5) & (chance.random(COUNT) < 0.2)
    return Samples(features=features, multiples=np.where(rare, 3.0, 1.0), prices=np.ones(COUNT))


def asked(rules: BoostedRules, first: float) -> float:
    found = rules.multiple((first, *(0.5,) * (len(FEATURES) - 1)))
    assert found is not None
    return found


def test_the_graph_says_what_was_fitted_and_dear_shortages_are_prepared_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shortage of 20 % is worth three times the instances only where it costs enough: the newsvendor's quantile."""
    monkeypatch.setattr(boosting, "TREES", 12)
    monkeypatch.setattr(boosting, "LEARNING_RATE", 0.4)
    path = tmp_path / "boosted.onnx"
    found = {}
    for price in (0.2, 20.0):
        model = boosting.fit([moments()], miss_price=price)
        path.write_bytes(boosting.as_onnx(model, "test"))
        rules = open_boosted(path)
        found[price] = [asked(rules, 0.9), asked(rules, 0.1)]
        rows = moments().features[:50].astype(np.float32)
        fitted = np.exp(np.clip(model.predict(rows), 0.0, None))
        assert [rules.multiple(tuple(row)) for row in rows.tolist()] == pytest.approx(fitted, abs=0.02)
    assert found[0.2] == pytest.approx([1.0, 1.0], abs=0.1)
    assert found[20.0] == pytest.approx([3.0, 1.0], abs=0.2)


def test_the_shipped_model_says_what_onnxruntime_makes_of_it() -> None:
    """At thresholds too, where a 64-bit float would lie on the other side."""
    session = onnxruntime.InferenceSession(SHIPPED)
    rules = open_boosted(failed=pytest.fail)
    chance = np.random.default_rng(3)
    near = chance.choice([-0.5, -0.1, 0.0, 0.1, 0.2, 0.5, 0.9, 1.0, 1.1, 1.5], size=(400, len(FEATURES)))
    rows = (near + chance.normal(0, 0.1, near.shape)).astype(np.float32)
    wanted = session.run(None, {INPUT: rows})[0].tolist()
    assert max(wanted) > 1.5
    assert [rules.multiple(row) for row in rows.astype(np.float64).tolist()] == pytest.approx(wanted, rel=1e-5)
