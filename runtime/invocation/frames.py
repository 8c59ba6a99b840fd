"""The wire: length-prefixed frames, packed and parsed without I/O.

Every frame: u32 length of what follows, u8 kind, u8 flags, u32 call id; big-endian. docs/decisions/0002 has the table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from runtime.invocation.context import CallContext
from runtime.invocation.errors import FrameInvalid

CALL: Final = 1
REPLY: Final = 2
ERROR: Final = 3
NACK: Final = 4
CANCEL: Final = 5
GOAWAY: Final = 6
PING: Final = 7
PONG: Final = 8
CHUNK: Final = 9  # one item of a stream
CREDIT: Final = 10  # the reader of a stream has room for that many more bytes
NOTIFY: Final = 11
PART: Final = 12  # goes on with the payload of an earlier CALL or REPLY that was too large for one frame
KIND_MAX: Final = PART

FLAG_HTTP: Final = 1
FLAG_MORE: Final = 2  # the payload goes on in a PART
FLAG_STREAM: Final = 4  # the answer to this call is a stream
FLAG_OF_REPLY: Final = 8  # on a PART: belongs to a REPLY, not to a CALL

PART_BYTES: Final = 64 * 1024  # larger payloads are cut, so that small frames get in between
FRAME_BYTES_MAX: Final = 2 * 1024 * 1024  # the largest transaction of the store is one frame
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
TARGET_BYTES_MAX: Final = 255
TEXT_BYTES_MAX: Final = 255
DEADLINE_MS_MAX: Final = 0xFFFF_FFFF

HEAD: Final = struct.Struct(">IBBI")
CALL_HEAD: Final = struct.Struct(">IBBIIHBBBB16s8s")  # …, deadline ms, instance, lengths of texts, trace
HEAD_BYTES: Final = HEAD.size
CALL_HEAD_BYTES: Final = CALL_HEAD.size
_LENGTH_BYTES: Final = 4
_NACK: Final = struct.Struct(">I")
_CREDIT: Final = struct.Struct(">I")


class Frame(NamedTuple):
    """One parsed frame. `body` is what follows the head; for a CALL, what follows the fixed part of the head."""

    kind: int
    flags: int
    call_id: int
    body: bytes


def pack(kind: int, call_id: int, body: bytes = b"", flags: int = 0) -> bytes:
    return HEAD.pack(HEAD_BYTES - _LENGTH_BYTES + len(body), kind, flags, call_id) + body


def pack_call(
    call_id: int, target: bytes, payload: bytes, context: CallContext, deadline_ms: int, instance: int, flags: int
) -> bytes:
    """A CALL frame. Raises FrameInvalid when a text is longer than its length byte can say."""
    request_id = context.request_id.encode()
    principal = context.principal.encode()
    try:
        head = CALL_HEAD.pack(
            CALL_HEAD_BYTES - _LENGTH_BYTES + len(target) + len(request_id) + len(principal) + len(payload),
            CALL,
            flags,
            call_id,
            deadline_ms,
            instance,
            len(target),
            len(request_id),
            len(principal),
            context.sampled,
            context.trace_id,
            context.span_id,
        )
    except struct.error as error:
        raise FrameInvalid(f"a call's head does not fit: {error}") from error
    return b"".join((head, target, request_id, principal, payload))


def unpack_call(raw: bytes, start: int, end: int, now_s: float) -> tuple[str, int, CallContext, bytes]:
    """Target, instance, context and payload of the CALL frame that lies at raw[start:end]; what is left of its deadline
    counts from `now_s`. Raises FrameInvalid."""
    if end - start < CALL_HEAD_BYTES:
        raise FrameInvalid("a call's head is cut short")
    (_, _, _, _, deadline_ms, instance, targets, requests, principals, trace_flags, trace_id, span_id) = (
        CALL_HEAD.unpack_from(raw, start)
    )
    at = start + CALL_HEAD_BYTES
    request_at = at + targets
    principal_at = request_at + requests
    payload_at = principal_at + principals
    if payload_at > end:
        raise FrameInvalid("a call's texts are longer than its frame")
    try:
        target = raw[at:request_at].decode()
        request_id = raw[request_at:principal_at].decode()
        principal = raw[principal_at:payload_at].decode() if principals else ""
    except UnicodeDecodeError as error:
        raise FrameInvalid("a call's texts are not UTF-8") from error
    context = CallContext(now_s + deadline_ms / 1_000, trace_id, span_id, trace_flags & 1 == 1, request_id, principal)
    return target, instance, context, raw[payload_at:end]


def pack_nack(call_id: int, reason: str, retry_after_ms: int) -> bytes:
    return pack(NACK, call_id, _NACK.pack(retry_after_ms) + reason.encode()[:TEXT_BYTES_MAX])


def unpack_nack(body: bytes) -> tuple[str, int]:
    if len(body) < _NACK.size:
        raise FrameInvalid("a NACK is cut short")
    return str(body[_NACK.size :], "utf-8", "replace"), int(_NACK.unpack_from(body)[0])


def pack_credit(call_id: int, count: int) -> bytes:
    return pack(CREDIT, call_id, _CREDIT.pack(count))


def unpack_credit(body: bytes) -> int:
    if len(body) != _CREDIT.size:
        raise FrameInvalid("a CREDIT has the wrong length")
    return int(_CREDIT.unpack(body)[0])


def pack_notify(target: bytes, payload: bytes) -> bytes:
    """`target` is at most 255 bytes."""
    return pack(NOTIFY, 0, bytes((len(target),)) + target + payload)


def unpack_notify(body: bytes) -> tuple[str, bytes]:
    if not body or len(body) < 1 + body[0]:
        raise FrameInvalid("a NOTIFY is cut short")
    try:
        return str(body[1 : 1 + body[0]], "utf-8"), body[1 + body[0] :]
    except UnicodeDecodeError as error:
        raise FrameInvalid("a NOTIFY's target is not UTF-8") from error


class FrameParser:
    """Bytes in, frames out, however the bytes are cut. After FrameInvalid it must not be fed again."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes, int, int]]:
        """Yields (kind, flags, call id, buffer, start, end) of each whole frame; start is that of its length field."""
        buffer = self._rest + data if self._rest else data
        at, size = 0, len(buffer)
        while size - at >= HEAD_BYTES:
            length, kind, flags, call_id = HEAD.unpack_from(buffer, at)
            if length > FRAME_BYTES_MAX or length < HEAD_BYTES - _LENGTH_BYTES:
                raise FrameInvalid(f"a frame of {length} bytes; the limit is {FRAME_BYTES_MAX}")
            if not 0 < kind <= KIND_MAX:
                raise FrameInvalid(f"frame kind {kind} is unknown")
            end = at + _LENGTH_BYTES + length
            if end > size:
                break
            yield kind, flags, call_id, buffer, at, end
            at = end
        self._rest = buffer[at:]
