"""The model as an ONNX graph whose head may be given from outside."""

from __future__ import annotations

import io
import warnings
from typing import cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from controllers.ttm.schema import (
    ALIGNED,
    DAY_AGO,
    FEATURES,
    FORECAST,
    HEAD_BIAS,
    HEAD_WEIGHT,
    HISTORY,
    NORMALISATION,
    OPSET,
    RECENT,
    WEEK_AGO,
)
from controllers.ttm.training.mixer import Mixer, loads_of, quantiles_of

ROWS = "n"


class Served(nn.Module):
    """The mixer as the graph has it: loads in, loads out, the head an input."""

    def __init__(self, mixer: Mixer) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(
        self, recent: Tensor, day_ago: Tensor, week_ago: Tensor, head_weight: Tensor, head_bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        features, normalisation = self.mixer.features(recent, day_ago, week_ago)
        raw = features @ head_weight.transpose(0, 1) + head_bias
        return loads_of(quantiles_of(raw, normalisation), normalisation), features, normalisation


def export(mixer: Mixer) -> bytes:
    """The graph, checked by onnx."""
    example = (torch.ones(2, HISTORY), torch.ones(2, ALIGNED), torch.ones(2, ALIGNED))
    head = (mixer.head.weight.detach(), mixer.head.bias.detach())
    inputs, outputs = (RECENT, DAY_AGO, WEEK_AGO), (FORECAST, FEATURES, NORMALISATION)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is the one that needs no further package; torch names the other
        torch.onnx.export(
            Served(mixer).eval(),
            (*example, *head),
            buffer,
            input_names=[*inputs, HEAD_WEIGHT, HEAD_BIAS],
            output_names=list(outputs),
            dynamic_axes={name: {0: ROWS} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    for name, value in zip((HEAD_WEIGHT, HEAD_BIAS), head, strict=True):
        graph.graph.initializer.append(numpy_helper.from_array(value.numpy(), name))
    onnx.checker.check_model(graph, full_check=True)
    return cast(bytes, graph.SerializeToString())
