"""A model of one's own as one file: the graph and its card, as it is uploaded and lies in the ContentStore."""

from __future__ import annotations

from typing import Final

import msgspec

from controllers.ttm.card import CARD_BYTES_MAX, MODEL_FILE, ModelCard, card_of
from controllers.ttm.errors import ModelUnreadable
from controllers.ttm.schema import MODEL_BYTES_MAX

FILE_BYTES_MAX: Final = MODEL_BYTES_MAX + CARD_BYTES_MAX + 100


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """graph: an ONNX file; card: its model.json."""

    graph: bytes
    card: bytes


def pack_model(graph: bytes, card: bytes) -> bytes:
    return msgspec.msgpack.encode(ModelFile(graph=graph, card=card))


def unpack_model(raw: bytes) -> tuple[bytes, ModelCard]:
    """Raises ModelUnreadable, ModelSchemaWrong."""
    try:
        found = msgspec.msgpack.decode(raw, type=ModelFile)
    except msgspec.DecodeError as error:
        raise ModelUnreadable(f"it is no model: {error}") from error
    if len(found.graph) > MODEL_BYTES_MAX:
        raise ModelUnreadable(f"{MODEL_FILE} is larger than {MODEL_BYTES_MAX} bytes")
    return found.graph, card_of(found.graph, found.card)
