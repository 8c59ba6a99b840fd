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

GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
FLOAT: Final = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}


def float_tensors(graph: bytes) -> dict[str, NDArray[np.float32]]:
    """Those of 32-bit floats that are kept as raw bytes. Raises ModelUnreadable."""
    try:
        return dict(_tensors(memoryview(graph)))
    except (IndexError, ValueError) as error:
        raise ModelUnreadable(f"the graph's weights cannot be read: {error}") from error


def _tensors(model: memoryview) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number, graph in _fields(model):
        for inner, tensor in _fields(graph) if number == GRAPH and isinstance(graph, memoryview) else ():
            if inner == INITIALIZER and isinstance(tensor, memoryview) and (found := _tensor(tensor)) is not None:
                yield found


def _tensor(message: memoryview) -> tuple[str, NDArray[np.float32]] | None:
    shape: list[int] = []
    name, raw, kind = "", b"", 0
    for number, value in _fields(message):
        if number == DIMS:
            shape += _varints(value)
        elif number == DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == RAW_DATA and isinstance(value, memoryview):
            raw = bytes(value)
    if kind != FLOAT or not raw:
        return None
    return name, np.frombuffer(raw, dtype="<f4").astype(np.float32).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field. Raises IndexError, ValueError for what is no message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = _FIXED.get(kind, 0)
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif not size:
            raise ValueError(f"a field of kind {kind}")
        if at + size > len(message):
            raise IndexError("it ends amid a field")
        yield number, message[at : at + size]
        at += size


def _varints(value: int | memoryview) -> list[int]:
    """One number, or several packed ones."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(one)
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number, and where it ends: seven bits a byte, lowest first."""
    found, shift = 0, 0
    while True:
        byte = message[at]
        found |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return found, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def shipped_head(graph: bytes) -> Head:
    """Raises ModelUnreadable."""
    tensors = float_tensors(graph)
    try:
        return Head(weight=tensors[HEAD_WEIGHT], bias=tensors[HEAD_BIAS])
    except KeyError as error:
        raise ModelUnreadable(f"the graph has no {error}") from error
