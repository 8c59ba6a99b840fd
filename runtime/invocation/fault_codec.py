"""A RemoteFault as the body of an ERROR frame."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.invocation.errors import FrameInvalid, RemoteFault

DETAIL_CHARACTERS_MAX: Final = 4_096


class _Wire(msgspec.Struct, array_like=True, gc=False):
    code: str
    detail: str
    retryable: bool = False
    remedy: str = ""
    payload: bytes = b""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Wire).decode


def encode_fault(fault: RemoteFault) -> bytes:
    detail = fault.detail[:DETAIL_CHARACTERS_MAX]
    return _encode(_Wire(fault.code, detail, fault.retryable, fault.remedy, fault.payload))


def decode_fault(body: bytes) -> RemoteFault:
    """Raises FrameInvalid."""
    try:
        wire = _decode(body)
    except msgspec.DecodeError as error:
        raise FrameInvalid(f"an ERROR frame cannot be read: {error}") from error
    return RemoteFault(
        code=wire.code, detail=wire.detail, retryable=wire.retryable, remedy=wire.remedy, payload=wire.payload
    )
