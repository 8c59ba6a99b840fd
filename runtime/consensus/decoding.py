"""Reading msgpack that others sent: whatever is wrong with it is one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoder(kind: type[T]) -> Callable[[bytes | memoryview], T]:
    """Gives a function that reads one and raises msgspec.DecodeError only: msgspec itself lets text that is no UTF-8
    and nesting without end through as errors of Python's own."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(raw: bytes | memoryview) -> T:
        try:
            return decode(raw)
        except (UnicodeDecodeError, RecursionError) as error:
            raise msgspec.DecodeError(str(error)) from None

    return read
