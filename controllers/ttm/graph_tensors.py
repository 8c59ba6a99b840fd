"""The weights in an ONNX file, by name, read without the onnx package: the trainer begins from the shipped head.

An ONNX file is a protobuf message; onnxruntime tells the shapes of what may be overridden but not its values. Only
what is needed is read: ModelProto.graph (7), GraphProto.initializer (5), TensorProto.dims (1), data_type (2), name (8)
and raw_data (9), as onnx.proto numbers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controllers.ttm.errors import ModelUnreadable
from controllers.ttm.head import Head
from controllers.ttm.schema import HEAD_BIAS, HEAD_WEIGHT
from runtime.protobuf import fields, parts, varints

GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
FLOAT: Final = 1


def float_tensors(graph: bytes) -> dict[str, NDArray[np.float32]]:
    """Those of 32-bit floats that are kept as raw bytes. Raises ModelUnreadable."""
    try:
        return dict(_tensors(memoryview(graph)))
    except (IndexError, ValueError) as error:
        raise ModelUnreadable(f"the graph's weights cannot be read: {error}") from error


def _tensors(model: memoryview) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for graph in parts(model, GRAPH):
        for tensor in parts(graph, INITIALIZER):
            if (found := _tensor(tensor)) is not None:
                yield found


def _tensor(message: memoryview) -> tuple[str, NDArray[np.float32]] | None:
    shape: list[int] = []
    name, raw, kind = "", b"", 0
    for number, value in fields(message):
        if number == DIMS:
            shape += varints(value)
        elif number == DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == RAW_DATA and isinstance(value, memoryview):
            raw = bytes(value)
    if kind != FLOAT or not raw:
        return None
    return name, np.frombuffer(raw, dtype="<f4").astype(np.float32).reshape(shape)


def own_head(graph: bytes) -> Head:
    """Raises ModelUnreadable."""
    tensors = float_tensors(graph)
    try:
        return Head(weight=tensors[HEAD_WEIGHT], bias=tensors[HEAD_BIAS])
    except KeyError as error:
        raise ModelUnreadable(f"the graph has no {error}") from error
