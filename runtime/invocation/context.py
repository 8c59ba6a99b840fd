"""What a call carries besides its arguments: deadline, trace, request id, principal."""

from __future__ import annotations

import os
import re
from asyncio import get_running_loop
from contextvars import ContextVar
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:/+=-]{1,128}")
SAMPLED_SHARE: Final = 3  # of 256: about 1 % of new traces, decided once, at the edge
_ZERO_TRACE: Final = "0" * 32
_ZERO_SPAN: Final = "0" * 16
_BATCH_BYTES: Final = 4096
NO_SPAN: Final = bytes(8)


class _Entropy:
    """Random bytes from the kernel, asked for 4 KiB at a time: 60 ns an id instead of 400."""

    __slots__ = ("_at", "_bytes")

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def forget(self) -> None:
        """A fork must not repeat its parent's ids."""
        self._bytes, self._at = b"", 0

    def take(self, count: int) -> bytes:
        at = self._at
        if at + count > len(self._bytes):
            self._bytes, at = os.urandom(_BATCH_BYTES), 0
        self._at = at + count
        return self._bytes[at : at + count]


_entropy: Final = _Entropy()
os.register_at_fork(after_in_child=_entropy.forget)


class CallContext:
    """Mutable only until it is handed on. `deadline` is in the loop's time; ids are raw bytes."""

    __slots__ = ("deadline", "parent_id", "principal", "request_id", "sampled", "span_id", "trace_id")

    def __init__(
        self,
        deadline: float,
        trace_id: bytes,
        span_id: bytes,
        sampled: bool = False,
        request_id: str = "",
        principal: str = "",
        parent_id: bytes = NO_SPAN,
    ) -> None:
        self.deadline = deadline
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled
        self.request_id = request_id
        self.principal = principal
        self.parent_id = parent_id  # known where the span began; not sent on

    @classmethod
    def root(cls, deadline: float) -> CallContext:
        """A call that nobody outside asked for: a new trace and a request id of its own."""
        fresh = _entropy.take(24)
        return cls(
            deadline=deadline,
            trace_id=fresh[:16],
            span_id=fresh[16:],
            sampled=fresh[0] < SAMPLED_SHARE,
            request_id=fresh[:16].hex(),
        )

    @classmethod
    def from_headers(cls, traceparent: str | None, request_id: str | None, deadline_s: float) -> CallContext:
        """At the edge. A malformed traceparent or request id is replaced by a new one, never passed on."""
        context = cls.root(get_running_loop().time() + deadline_s)
        if traceparent is not None:
            found = _TRACEPARENT.fullmatch(traceparent)
            if found is not None and found[1] != _ZERO_TRACE and found[2] != _ZERO_SPAN:
                context.trace_id = bytes.fromhex(found[1])
                context.parent_id = bytes.fromhex(found[2])
                context.sampled = bool(int(found[3], 16) & 1)
        if request_id is not None and _REQUEST_ID.fullmatch(request_id):
            context.request_id = request_id
        return context

    def child(self) -> CallContext:
        """The context of a call made while handling this one: same trace, request and deadline, a span of its own."""
        return CallContext(
            self.deadline,
            self.trace_id,
            _entropy.take(8),
            self.sampled,
            self.request_id,
            self.principal,
            self.span_id,
        )

    def traceparent(self) -> str:
        """As W3C Trace Context, level 1, writes it."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{'01' if self.sampled else '00'}"


current: Final[ContextVar[CallContext | None]] = ContextVar("aether_call", default=None)
"""The call that the running task handles; None outside of calls."""
