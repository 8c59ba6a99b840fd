"""A head as bytes: what travels between the trainer, the ContentStore and the leader. It carries no code."""

from __future__ import annotations

import msgspec
import numpy as np

from controllers.ttm.errors import ModelSchemaWrong, ModelUnreadable
from controllers.ttm.head import Head
from controllers.ttm.schema import HORIZONS, QUANTILES, SCHEMA_VERSION

ROWS = HORIZONS * len(QUANTILES)


class HeadFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """weight, bias: little-endian float32, row by row; base: SHA-256 of the graph whose features it was fitted on."""

    schema_version: int
    base: str
    features: int
    weight: bytes
    bias: bytes


def pack_head(head: Head, base: str) -> bytes:
    return msgspec.msgpack.encode(
        HeadFile(
            schema_version=SCHEMA_VERSION,
            base=base,
            features=head.weight.shape[1],
            weight=head.weight.astype("<f4").tobytes(),
            bias=head.bias.astype("<f4").tobytes(),
        )
    )


def unpack_head(raw: bytes, base: str) -> Head:
    """Raises ModelUnreadable, ModelSchemaWrong for one of another graph, or with what is no number."""
    try:
        found = msgspec.msgpack.decode(raw, type=HeadFile)
    except msgspec.DecodeError as error:
        raise ModelUnreadable(f"the head cannot be read: {error}") from error
    if found.schema_version != SCHEMA_VERSION or found.base != base:
        raise ModelSchemaWrong("the head was fitted on another model's features, or by another version")
    if len(found.weight) != 4 * ROWS * found.features or len(found.bias) != 4 * ROWS:
        raise ModelUnreadable(f"the head has {len(found.weight)} and {len(found.bias)} bytes of weights")
    head = Head(
        weight=np.frombuffer(found.weight, dtype="<f4").reshape(ROWS, found.features).astype(np.float32),
        bias=np.frombuffer(found.bias, dtype="<f4").astype(np.float32),
    )
    if not head.is_finite():
        raise ModelSchemaWrong("the head holds what is no number")
    return head
