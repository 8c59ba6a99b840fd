"""A call that came in, and the handlers it can go to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallFault, ConnectionLost, DeadlineExceeded, NotStarted, RemoteFault
from runtime.invocation.outcome import Outcome

if TYPE_CHECKING:
    from runtime.invocation.connection import Connection


class IncomingCall:
    """`connection` is None for calls within one process. `on_cancel`, set by a raw handler, is called when the caller
    gives up or the connection ends."""

    __slots__ = ("call_id", "connection", "context", "http", "instance", "on_cancel", "payload", "target")

    def __init__(
        self,
        connection: Connection | None,
        call_id: int,
        target: str,
        payload: bytes,
        context: CallContext,
        instance: int,
        http: bool,
    ) -> None:
        self.connection = connection
        self.call_id = call_id
        self.target = target
        self.payload = payload
        self.context = context
        self.instance = instance
        self.http = http
        self.on_cancel: Callable[[], None] | None = None

    @property
    def peer(self) -> str:
        return self.connection.peer if self.connection is not None else "inline"

    def finish(self, outcome: Outcome) -> None:
        """Answers a raw call with another call's outcome; what did not start there did not start here."""
        error = outcome.error
        assert self.connection is not None
        if error is None:
            self.connection.send_reply(self.call_id, outcome.payload)
        else:
            self.fail(error)

    def fail(self, error: CallFault) -> None:
        assert self.connection is not None
        if isinstance(error, NotStarted):
            self.connection.send_nack(self.call_id, error.reason, error.retry_after_ms)
        else:
            self.connection.send_error(self.call_id, fault_of(error))


def fault_of(error: CallFault) -> RemoteFault:
    """The error as it travels on."""
    if isinstance(error, RemoteFault):
        return error
    return RemoteFault(code=error.code, detail=str(error), retryable=error.retryable, remedy=error.remedy)


def error_of(fault: RemoteFault) -> CallFault:
    """What ended the call further on, a deadline or a lost connection, ends it here in the same way."""
    if fault.code == DeadlineExceeded.code:
        return DeadlineExceeded(fault.detail)
    return ConnectionLost(fault.detail) if fault.code == ConnectionLost.code else fault


UnaryHandler = Callable[[IncomingCall], Awaitable[bytes]]
StreamHandler = Callable[[IncomingCall], AsyncIterator[bytes]]
NotifyHandler = Callable[[str, bytes], None]  # (peer, payload)
RawHandler = Callable[[IncomingCall], None]


@dataclass(slots=True)
class Handlers:
    """What a connection offers to the other side. Targets that nobody names go to `raw`, else to `default`.

    `direct` is for short work without a task: it answers the call itself, at once or later.
    """

    unary: dict[str, UnaryHandler] = field(default_factory=dict)
    direct: dict[str, RawHandler] = field(default_factory=dict)
    streams: dict[str, StreamHandler] = field(default_factory=dict)
    notifies: dict[str, NotifyHandler] = field(default_factory=dict)
    default: UnaryHandler | None = None
    raw: RawHandler | None = None
    goaway: Callable[[Connection], None] | None = None
    failed: Callable[[IncomingCall, str, BaseException], None] | None = None
    """Told of a handler that raised something unforeseen, with the correlation id the caller got."""
