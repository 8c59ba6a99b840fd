"""Counts every call, and writes the canonical line for those that were slow, failed or sampled."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, Literal, Protocol

from runtime.invocation.errors import CallFault, ConnectionLost, NoReply, NotStarted

if TYPE_CHECKING:
    from runtime.gateway.exchange import Exchange
    from runtime.gateway.routes import Binding
    from runtime.invocation.context import CallContext

LINES_PER_S_MAX: Final = 50  # an outage must not fill the log ring: 50 lines of 400 bytes are 72 MB an hour
SERVER_ERRORS: Final = 500

Ending = Literal["ok", "error", "rejected", "lost"]


class Meter(Protocol):
    def record(self, duration_us: int, outcome: Ending) -> None: ...


class Meters(Protocol):
    """What the gateway needs of the recorder."""

    def method(self, slice_name: str, version: str, method: str) -> Meter: ...


class Lines(Protocol):
    """What the gateway needs of the log."""

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def error(self, event: str, **fields: object) -> None: ...


class Spans(Protocol):
    """What the gateway needs of the spans' writer."""

    def record(
        self, context: CallContext, name: str, took_us: int, *, failed: bool, slow: bool = False, detail: str = ""
    ) -> None: ...


class RequestWatch:
    """Shared by all requests of a gateway."""

    def __init__(self, *, meters: Meters, lines: Lines, spans: Spans | None = None) -> None:
        self._spans = spans
        self._meters = meters
        self._lines = lines
        self._of_binding: dict[Binding, Meter] = {}
        self._lines_left = LINES_PER_S_MAX
        self._suppressed = 0

    def forget(self) -> None:
        """The routes changed: meters are looked up anew."""
        self._of_binding.clear()

    def tick(self) -> None:
        """To be called each second."""
        self._lines_left = LINES_PER_S_MAX
        if self._suppressed:
            self._lines.warning("request_lines_suppressed", count=self._suppressed)
            self._suppressed = 0

    def ended(self, exchange: Exchange, fault: CallFault | None) -> None:
        """A call has come to its end; the exchange has its reply."""
        took_us = (perf_counter_ns() - exchange.started_ns) // 1_000
        found = exchange.found
        assert found is not None
        meter = self._of_binding.get(found.binding) or self._meter(found.binding)
        failed = exchange.status >= SERVER_ERRORS
        meter.record(took_us, _ending(fault) if failed else "ok")
        slow = took_us > found.binding.slow_us
        if failed or slow or exchange.context.sampled:
            self._write(exchange, found.binding, took_us, fault)
            if self._spans is not None:
                name = f"{found.binding.http_method} {found.binding.template}"
                detail = str(fault) if fault is not None else str(exchange.status)
                self._spans.record(exchange.context, name, took_us, failed=failed, slow=slow, detail=detail)

    def broke(self, error: BaseException) -> None:
        """A fault of the gateway itself."""
        cause = error.__cause__ or error.__context__ or error
        self._lines.error("gateway_broke", error=repr(cause))

    def _meter(self, binding: Binding) -> Meter:
        version = next(iter(binding.versions)) if len(binding.versions) == 1 else ""
        meter = self._meters.method(binding.slice, version, binding.method)
        self._of_binding[binding] = meter
        return meter

    def _write(self, exchange: Exchange, binding: Binding, took_us: int, fault: CallFault | None) -> None:
        if self._lines_left <= 0:
            self._suppressed += 1
            return
        self._lines_left -= 1
        write = self._lines.warning if exchange.status >= SERVER_ERRORS else self._lines.info
        write(
            "request_served",
            http_method=binding.http_method,
            route=binding.template,
            target=binding.target,
            status=exchange.status,
            duration_ms=took_us / 1_000,
            reply_bytes=len(exchange.body),
            request_id=exchange.context.request_id,
            trace_id=exchange.context.trace_id.hex(),
            span_id=exchange.context.span_id.hex(),
            fault=fault.code if fault is not None else "",
            because=str(fault) if fault is not None else "",
        )


def _ending(fault: CallFault | None) -> Ending:
    if isinstance(fault, NotStarted):
        return "rejected"
    return "lost" if isinstance(fault, NoReply | ConnectionLost) else "error"
