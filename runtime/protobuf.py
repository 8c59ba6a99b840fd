"""Protobuf messages as fields with numbers, without a schema: enough to read an ONNX file where no ONNX package is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields, as the wire numbers them."""
_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_SHIFT_MAX: Final = 63  # seven bits a byte: ten bytes are the most that a number may take


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field. Raises IndexError, ValueError for what is no message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = _FIXED.get(kind, 0)
        if kind == BYTES:
            size, at = _varint(message, at)
        elif not size:
            raise ValueError(f"a field of kind {kind}")
        if at + size > len(message):
            raise IndexError("it ends amid a field")
        yield number, message[at : at + size]
        at += size


def parts(message: memoryview, number: int) -> Iterator[memoryview]:
    """The messages and bytes of the field with that number. Raises as `fields`."""
    for found, value in fields(message):
        if found == number and isinstance(value, memoryview):
            yield value


def text(message: memoryview, number: int) -> str:
    """Of the field with that number; empty where there is none. Raises as `fields`, UnicodeDecodeError."""
    return next((bytes(each).decode() for each in parts(message, number)), "")


def varints(value: int | memoryview) -> list[int]:
    """One number, or several packed ones. Raises IndexError, ValueError."""
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
        if shift > _SHIFT_MAX:
            raise ValueError("a number of more than 64 bits")
