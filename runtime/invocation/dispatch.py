"""The answering half of a connection: incoming calls to handlers, their replies back."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from runtime.errors import RuntimeFault
from runtime.invocation import frames as f
from runtime.invocation.context import CallContext, current
from runtime.invocation.errors import CallFault, ConnectionLost, FrameInvalid, RemoteFault
from runtime.invocation.incoming import IncomingCall, StreamHandler, UnaryHandler
from runtime.invocation.streams import OutgoingStream
from runtime.invocation.tasks import CallTasks

if TYPE_CHECKING:
    from runtime.invocation.connection import Connection

FORWARDED_MAX: Final = 65_536  # raw calls in progress over one connection: as many as a caller may have
UNFINISHED_MAX: Final = 4 * f.MESSAGE_BYTES_MAX // f.PART_BYTES  # cut messages: the first part of each is whole


class Dispatch:
    """Incoming calls of one connection, by the caller's call id."""

    __slots__ = ("_connection", "_loop", "_parts", "_raw", "_streams", "_tasks")

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._tasks = CallTasks(loop)
        self._raw: dict[int, IncomingCall] = {}
        self._parts: dict[int, tuple[int, str, int, CallContext, bytearray]] = {}  # flags, target, instance, …
        self._streams: dict[int, OutgoingStream] = {}

    def __len__(self) -> int:
        return len(self._tasks) + len(self._raw)

    def call(self, call_id: int, flags: int, target: str, instance: int, context: CallContext, payload: bytes) -> None:
        if flags & f.FLAG_MORE:
            self._parts[call_id] = (flags, target, instance, context, bytearray(payload))
            self._check_size()
            return
        connection = self._connection
        incoming = IncomingCall(connection, call_id, target, payload, context, instance, bool(flags & f.FLAG_HTTP))
        if context.deadline <= self._loop.time():
            connection.send_nack(call_id, "the deadline had passed")
        elif flags & f.FLAG_STREAM:
            self._begin_stream(incoming)
        else:
            self._begin(incoming)

    def part(self, call_id: int, body: bytes, *, more: bool) -> None:
        waiting = self._parts.get(call_id)
        if waiting is None:
            return  # cancelled meanwhile
        flags, target, instance, context, gathered = waiting
        gathered += body
        self._check_size()
        if not more:
            del self._parts[call_id]
            self.call(call_id, flags & ~f.FLAG_MORE, target, instance, context, bytes(gathered))

    def _check_size(self) -> None:
        if len(self._parts) > UNFINISHED_MAX:
            raise FrameInvalid(f"more than {UNFINISHED_MAX} unfinished messages")
        if sum(len(gathered) for *_, gathered in self._parts.values()) > 4 * f.MESSAGE_BYTES_MAX:
            raise FrameInvalid("unfinished messages exceed 64 MiB")
        if any(len(gathered) > f.MESSAGE_BYTES_MAX for *_, gathered in self._parts.values()):
            raise FrameInvalid("a message exceeds 16 MiB")

    def _begin_stream(self, incoming: IncomingCall) -> None:
        handler = self._connection.handlers.streams.get(incoming.target)
        if handler is None:
            self._unknown(incoming)
        elif not self._tasks.start(incoming.call_id, self._run_stream(incoming, handler)):
            self._connection.send_nack(incoming.call_id, "too many calls on this connection")

    def _begin(self, incoming: IncomingCall) -> None:
        handlers = self._connection.handlers
        unary = handlers.unary.get(incoming.target)
        if unary is None and (raw := handlers.direct.get(incoming.target, handlers.raw)) is not None:
            if len(self._raw) >= FORWARDED_MAX:
                self._connection.send_nack(incoming.call_id, "too many calls on this connection")
                return
            self._raw[incoming.call_id] = incoming
            raw(incoming)
            return
        unary = unary or handlers.default
        if unary is None:
            self._unknown(incoming)
        elif not self._tasks.start(incoming.call_id, self._run(incoming, unary)):
            self._connection.send_nack(incoming.call_id, "too many calls on this connection")

    def _unknown(self, incoming: IncomingCall) -> None:
        self._connection.send_nack(incoming.call_id, f"nothing here answers to {incoming.target}")

    async def _run(self, incoming: IncomingCall, handler: UnaryHandler) -> None:
        connection = self._connection
        current.set(incoming.context)
        try:
            if self._loop.time() >= incoming.context.deadline:
                connection.send_nack(incoming.call_id, "the deadline had passed")
                return
            connection.send_reply(incoming.call_id, await handler(incoming))
        except CallFault as error:
            incoming.fail(error)
        except RuntimeFault as error:
            connection.send_error(incoming.call_id, _fault(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the outermost frame of a handler: nothing of it may leave the process
            connection.send_error(incoming.call_id, self._internal(incoming, error))
        finally:
            self._tasks.ended(incoming.call_id)

    async def _run_stream(self, incoming: IncomingCall, handler: StreamHandler) -> None:
        connection, call_id = self._connection, incoming.call_id
        current.set(incoming.context)
        stream = self._streams[call_id] = OutgoingStream(connection, call_id)
        items = handler(incoming)
        try:
            async for item in items:
                await stream.write(item)
            connection.send_reply(call_id, b"")
        except ConnectionLost:
            pass  # nobody is left to tell
        except CallFault as error:
            incoming.fail(error)
        except RuntimeFault as error:
            connection.send_error(call_id, _fault(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            connection.send_error(call_id, self._internal(incoming, error))
        finally:
            self._streams.pop(call_id, None)
            self._tasks.ended(call_id)
            aclose = getattr(items, "aclose", None)
            if aclose is not None:
                await aclose()

    def _internal(self, incoming: IncomingCall, error: Exception) -> RemoteFault:
        correlation = secrets.token_hex(8)
        failed = self._connection.handlers.failed
        if failed is not None:
            failed(incoming, correlation, error)
        else:
            self._loop.call_exception_handler(
                {"message": f"handler of {incoming.target} failed, correlation {correlation}", "exception": error}
            )
        return RemoteFault(
            code="internal",
            detail=f"the handler failed; correlation id {correlation}",
            remedy=f"Look for {correlation} in the logs of that node.",
        )

    def ended(self, call_id: int) -> None:
        self._raw.pop(call_id, None)

    def cancel(self, call_id: int) -> None:
        self._parts.pop(call_id, None)
        raw = self._raw.pop(call_id, None)
        if raw is not None and raw.on_cancel is not None:
            raw.on_cancel()
        self._tasks.cancel(call_id)

    def credit(self, call_id: int, count: int) -> None:
        stream = self._streams.get(call_id)
        if stream is not None:
            stream.credit(count)

    def close(self) -> None:
        self._parts.clear()
        for call_id in tuple(self._raw):
            self.cancel(call_id)
        self._tasks.cancel_all()


def _fault(error: RuntimeFault) -> RemoteFault:
    return RemoteFault(code=error.code, detail=str(error), retryable=error.retryable, remedy=error.remedy)
