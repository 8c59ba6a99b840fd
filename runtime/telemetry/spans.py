"""Spans of slow, failed and sampled calls: one line per hop, in segments on disk that the cluster can query."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.clock import Clock
from runtime.invocation.context import CallContext
from runtime.telemetry.segments import SegmentWriter

SLOW_US: Final = 500_000
SPANS_PER_S_MAX: Final = (
    200  # an outage must not fill the ring: 200 spans of 300 bytes are 5 GB a day, pruned to its limit
)

_encode: Final = msgspec.json.Encoder().encode


class SpanWriter:
    """Of one process. `tick` is to be called each second."""

    def __init__(self, writer: SegmentWriter, *, node: str, process: str, clock: Clock) -> None:
        self._writer = writer
        self._node = node
        self._process = process
        self._clock = clock
        self._left = SPANS_PER_S_MAX

    def tick(self) -> None:
        self._left = SPANS_PER_S_MAX
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def record(
        self, context: CallContext, name: str, took_us: int, *, failed: bool, slow: bool = False, detail: str = ""
    ) -> None:
        """Keeps the span if it is slow, failed or sampled. `context.span_id` is this hop's own span. slow: it is for
        who asks, although it took less than SLOW_US."""
        if not (failed or slow or context.sampled or took_us >= SLOW_US) or self._left <= 0:
            return
        self._left -= 1
        span = {
            "at_ms": self._clock.unix_ms() - took_us // 1_000,
            "trace_id": context.trace_id.hex(),
            "span_id": context.span_id.hex(),
            "parent_id": context.parent_id.hex(),
            "request_id": context.request_id,
            "name": name,
            "node": self._node,
            "process": self._process,
            "duration_us": took_us,
            "failed": failed,
            "detail": detail,
        }
        self._writer.write(_encode(span) + b"\n")
