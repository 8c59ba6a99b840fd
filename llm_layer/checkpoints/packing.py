"""A checkpoint as bytes: msgpack of known types alone, packed. Nothing of it is ever executed on reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar, cast

import msgspec
import zstandard
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

UNPACKED_BYTES_MAX: Final = 16 * 1024 * 1024  # of one item: more than a shelf takes, packed ten to one
_TYPES: Final = frozenset({"null", "bytes", "bytearray", "msgpack"})
"""Of the serializer's own, without pickle and JSON that names classes."""

Typed = tuple[str, bytes]
Write = tuple[int, str, Any]
"""Its place among the task's, the channel, and what was written."""


class CheckpointUnreadable(ValueError):
    """Bytes that are no checkpoint of ours."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    checkpoint: Typed
    metadata: Typed
    parent: str


class _Write(msgspec.Struct, array_like=True, frozen=True):
    index: int
    channel: str
    value: Typed


class _Writes(msgspec.Struct, array_like=True, frozen=True):
    path: str
    writes: tuple[_Write, ...]


KindT = TypeVar("KindT", _State, _Writes)


class Packing:
    """known: types of graphs' states beside those that langgraph itself takes for safe."""

    def __init__(self, known: Sequence[type] = ()) -> None:
        self.serde = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=tuple(known) or None)

    def state(self, checkpoint: Checkpoint, metadata: CheckpointMetadata, parent: str) -> bytes:
        dumped = self.serde.dumps_typed
        return _packed(_State(dumped(checkpoint), dumped(metadata), parent))

    def read_state(self, raw: bytes) -> tuple[Checkpoint, CheckpointMetadata, str]:
        """With the parent's id, empty for none. Raises CheckpointUnreadable."""
        state = _unpacked(raw, _State)
        checkpoint = cast(Checkpoint, self._loaded(state.checkpoint))
        return checkpoint, cast(CheckpointMetadata, self._loaded(state.metadata)), state.parent

    def writes(self, path: str, writes: Sequence[Write]) -> bytes:
        """path: of the task, which tells its order among those of its step."""
        rows = tuple(_Write(index, channel, self.serde.dumps_typed(value)) for index, channel, value in writes)
        return _packed(_Writes(path, rows))

    def read_writes(self, raw: bytes) -> tuple[str, list[Write]]:
        """Raises CheckpointUnreadable."""
        found = _unpacked(raw, _Writes)
        return found.path, [(each.index, each.channel, self._loaded(each.value)) for each in found.writes]

    def _loaded(self, typed: Typed) -> Any:
        if typed[0] not in _TYPES:
            raise CheckpointUnreadable(f"a value of kind {typed[0][:40]!r}")
        return self.serde.loads_typed(typed)


def _packed(value: _State | _Writes) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(value))


def _unpacked(raw: bytes, kind: type[KindT]) -> KindT:
    try:
        return msgspec.msgpack.decode(zstandard.decompress(raw, max_output_size=UNPACKED_BYTES_MAX), type=kind)
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise CheckpointUnreadable(str(error)) from error
