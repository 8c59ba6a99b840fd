"""The wire: whatever is packed comes out equal however it is cut, and garbage is refused, never misread."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.invocation import frames as f
from runtime.invocation.context import CallContext
from runtime.invocation.errors import FrameInvalid
from runtime.invocation.fault_codec import decode_fault

texts = st.text(max_size=40).filter(lambda text: len(text.encode()) <= f.TEXT_BYTES_MAX)
kinds = st.sampled_from([kind for kind in range(1, f.KIND_MAX + 1) if kind != f.CALL])
plain = st.tuples(kinds, st.integers(0, 2**32 - 1), st.binary(max_size=300), st.integers(0, 255))


def parse(parser: f.FrameParser, data: bytes) -> list[tuple[int, int, int, bytes]]:
    return [
        (kind, flags, call_id, buffer[start + f.HEAD_BYTES : end])
        for kind, flags, call_id, buffer, start, end in parser.feed(data)
    ]


@given(st.lists(plain, max_size=12), st.data())
def test_frames_come_out_equal_however_the_bytes_are_cut(frames: list, data: st.DataObject) -> None:
    """A read ends anywhere; a frame must not depend on where."""
    raw = b"".join(f.pack(kind, call_id, body, flags) for kind, call_id, body, flags in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    parser, found = f.FrameParser(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += parse(parser, raw[start:end])
    assert found == [(kind, flags, call_id, body) for kind, call_id, body, flags in frames]


@given(st.binary(max_size=4_000))
def test_garbage_never_raises_anything_but_the_typed_error(raw: bytes) -> None:
    parser = f.FrameParser()
    with contextlib.suppress(FrameInvalid):
        for kind, _, _, buffer, start, end in parser.feed(raw):
            body = buffer[start + f.HEAD_BYTES : end]
            if kind == f.CALL:
                f.unpack_call(buffer, start, end, 0.0)
            elif kind == f.NACK:
                f.unpack_nack(body)
            elif kind == f.CREDIT:
                f.unpack_credit(body)
            elif kind == f.NOTIFY:
                f.unpack_notify(body)
            elif kind == f.ERROR:
                decode_fault(body)


@given(
    target=texts,
    request_id=texts,
    principal=texts,
    payload=st.binary(max_size=500),
    trace=st.binary(min_size=24, max_size=24),
    deadline_ms=st.integers(0, f.DEADLINE_MS_MAX),
    instance=st.integers(0, 65_535),
    sampled=st.booleans(),
)
def test_a_call_carries_its_context_unchanged(
    target: str,
    request_id: str,
    principal: str,
    payload: bytes,
    trace: bytes,
    deadline_ms: int,
    instance: int,
    sampled: bool,
) -> None:
    context = CallContext(
        deadline=0.0,
        trace_id=trace[:16],
        span_id=trace[16:],
        sampled=sampled,
        request_id=request_id,
        principal=principal,
    )
    raw = f.pack_call(7, target.encode(), payload, context, deadline_ms, instance, f.FLAG_HTTP)
    ((kind, flags, call_id, buffer, start, end),) = f.FrameParser().feed(raw)
    found_target, found_instance, found, body = f.unpack_call(buffer, start, end, 100.0)
    assert (kind, flags, call_id, body) == (f.CALL, f.FLAG_HTTP, 7, payload)
    assert (found_target, found_instance) == (target, instance)
    assert found.deadline == 100.0 + deadline_ms / 1_000
    texts = (found.request_id, found.principal)
    assert (*texts, found.trace_id, found.span_id, found.sampled) == (
        request_id,
        principal,
        trace[:16],
        trace[16:],
        sampled,
    )


def test_a_text_longer_than_its_length_byte_is_refused_before_it_is_sent() -> None:
    context = CallContext(deadline=0.0, trace_id=bytes(16), span_id=bytes(8), request_id="x" * 300)
    with pytest.raises(FrameInvalid):
        f.pack_call(1, b"a/b", b"", context, 1, 0, 0)


def test_a_frame_over_the_limit_is_refused_by_its_head_alone() -> None:
    """Nobody waits for, or keeps, bytes that will be refused."""
    head = f.HEAD.pack(f.FRAME_BYTES_MAX + 1, f.REPLY, 0, 1)
    with pytest.raises(FrameInvalid):
        list(f.FrameParser().feed(head))
