"""The boosted model that corrects the tree: fitted to the same moments, exported as one ONNX graph."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from controllers.scaling.boosted import FEATURES_KEY, INPUT, NAME_KEY, OUTPUT
from controllers.scaling.signals import FEATURES
from evals.scaling.distil import LAYER_1, MULTIPLE_LEARNT_MAX, SEVERE, Samples
from evals.scaling.traces import Floats

TREES: Final = 120
LEAVES: Final = 31
LEARNING_RATE: Final = 0.1
LEAF_SAMPLES_MIN: Final = 300
FAR: Final = 5.0  # a logarithm beyond every multiple: what only pulls up or down
DROPPED: Final = 0.3  # part of the moments whose forecast is hidden, so that the model can do without
OPSET: Final = 17
ML_OPSET: Final = 3
MISS_PRICE: Final = 2.5  # as distil.MISS_PRICE, where the shipped model lies
DIGITS_KEPT: Final = 4


def can_export() -> bool:
    """Whether the extra `train` is there."""
    return find_spec("onnx") is not None


def fit(parts: Iterable[Samples], *, miss_price: float = MISS_PRICE) -> HistGradientBoostingRegressor:
    """Predicts the logarithm of the multiple where one more costs as much as the shortages that it spares.

    That is a quantile of its own for each moment (the newsvendor's): shortages cost `miss_price` over SEVERE of a
    logarithm, more capacity the moment's price. The median of the sample and a twin far away, weighted by sum and
    difference of both, is that quantile, so that an ordinary median regression finds it."""
    known = list(parts)
    features = np.concatenate([_hidden(each) for each in known])
    logs = np.log(np.concatenate([each.multiples for each in known]))
    over = np.maximum(np.concatenate([each.prices for each in known]), 1e-3)
    under = np.full_like(over, miss_price / SEVERE)
    model = HistGradientBoostingRegressor(
        loss="quantile",
        quantile=0.5,
        max_iter=TREES,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAF_SAMPLES_MIN,
        early_stopping=False,
        random_state=0,
    )
    return model.fit(
        np.concatenate([features, features]),
        np.concatenate([logs, np.where(under > over, FAR, -FAR)]),
        sample_weight=np.concatenate([under + over, np.abs(under - over)]),
    )


def _hidden(part: Samples) -> Floats:
    """Its features, some of them without their forecast, always the same ones."""
    features = part.features.copy()
    features[np.random.default_rng(5).random(len(features)) < DROPPED, LAYER_1:] = 0.0
    return features


def as_onnx(model: HistGradientBoostingRegressor, name: str) -> bytes:
    """features [n, len(FEATURES)] to multiple [n], 1 at least. Needs the extra `train`."""
    from onnx import TensorProto, checker, helper, numpy_helper

    trees = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        ["logs"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[float(model._baseline_prediction.item())],
        **_arrays(model),
    )
    top = float(np.log(MULTIPLE_LEARNT_MAX))
    nodes = [
        trees,
        helper.make_node("Clip", ["logs", "zero", "top"], ["bounded"]),
        helper.make_node("Exp", ["bounded"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], [OUTPUT]),
    ]
    constants = (("zero", np.float32(0.0)), ("top", np.float32(top)), ("flat", np.array([-1], dtype=np.int64)))
    graph = helper.make_graph(
        nodes,
        "boosted",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", len(FEATURES)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.asarray(value), label) for label, value in constants],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="aether")
    helper.set_model_props(made, {NAME_KEY: name, FEATURES_KEY: json.dumps(FEATURES)})
    checker.check_model(made)
    found: bytes = made.SerializeToString()
    return found


def _arrays(model: HistGradientBoostingRegressor) -> dict[str, list[object]]:
    """Of all trees end to end, as the operator wants them."""
    found: dict[str, list[object]] = {}

    def add(name: str, values: NDArray[np.generic]) -> None:
        found.setdefault(name, []).extend(values.tolist())

    for number, (tree,) in enumerate(model._predictors):
        nodes = tree.nodes
        ids, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
        add("nodes_treeids", np.full(len(nodes), number))
        add("nodes_nodeids", ids)
        add("nodes_featureids", np.where(leaf, 0, nodes["feature_idx"]))
        add("nodes_values", np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float32))
        add("nodes_modes", np.where(leaf, "LEAF", "BRANCH_LEQ"))
        add("nodes_truenodeids", np.where(leaf, 0, nodes["left"]))
        add("nodes_falsenodeids", np.where(leaf, 0, nodes["right"]))
        add("target_treeids", np.full(int(leaf.sum()), number))
        add("target_nodeids", ids[leaf])
        add("target_ids", np.zeros(int(leaf.sum()), dtype=np.int64))
        add("target_weights", np.round(nodes["value"][leaf], DIGITS_KEPT).astype(np.float32))
    return found
