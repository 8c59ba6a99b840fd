"""One multiplexed connection: either side calls, streams and notifies over it.

Callbacks and no task per call on the calling side, for this is where every request passes. All methods belong to the
loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from runtime.invocation import frames as f
from runtime.invocation.context import CallContext
from runtime.invocation.deadlines import Deadlines
from runtime.invocation.dispatch import Dispatch
from runtime.invocation.errors import (
    CallFault,
    Congested,
    ConnectionLost,
    DeadlineExceeded,
    FrameInvalid,
    MessageTooLarge,
    NoReply,
    NotStarted,
    RemoteFault,
)
from runtime.invocation.fault_codec import decode_fault, encode_fault
from runtime.invocation.incoming import Handlers, error_of
from runtime.invocation.outbox import Outbox
from runtime.invocation.outcome import Outcome
from runtime.invocation.streams import IncomingStream

DEADLINE_S: Final = 5.0
CALLS_MAX: Final = 65_536  # outgoing calls in progress per connection
_CALL_ID_MAX: Final = 0xFFFF_FFFF

Done = Callable[[Outcome], None]


class _Pending:
    """An outgoing call that waits for its end. `sequence` tells whether its frame has been given to the transport."""

    __slots__ = ("done", "parts", "sequence", "slot")

    def __init__(self, done: Done, slot: set[int], sequence: int) -> None:
        self.done = done
        self.slot = slot  # of the deadlines
        self.sequence = sequence
        self.parts: bytearray | None = None


class Connection(asyncio.Protocol):
    """`peer` is the node id of the certificate (TLS) or "uid:N" (Unix socket), known once connected."""

    def __init__(
        self,
        handlers: Handlers | None = None,
        *,
        admit: Callable[[asyncio.Transport], str] | None = None,
        opened: Callable[[Connection], None] | None = None,
    ) -> None:
        self.peer = ""
        self.leaving = False  # the other side said GOAWAY
        self.is_open = False
        self.handlers = handlers or Handlers()
        self._admit = admit
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = f.FrameParser()
        self._pending: dict[int, _Pending] = {}
        self._deadlines = Deadlines(self._loop, self._expire)
        self._streams: dict[int, IncomingStream] = {}
        self._next_id = 0
        self._outbox = Outbox(self._loop, self._awaits)
        self._idle: asyncio.Future[None] | None = None
        self.on_lost: Callable[[Connection], None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._close_reason = ""
        self._dispatch = Dispatch(self, self._loop)
        self._pongs: dict[int, asyncio.Future[None]] = {}

    # -- calling ---------------------------------------------------------------------------------------------------

    async def call(
        self,
        target: str,
        payload: bytes = b"",
        *,
        deadline_s: float = DEADLINE_S,
        context: CallContext | None = None,
        instance: int = 0,
        http: bool = False,
    ) -> bytes:
        """The reply's payload. Raises a CallFault; see `runtime.invocation.errors` for which may have run."""
        if context is None:
            context = CallContext.root(self._loop.time() + deadline_s)
        waiter: asyncio.Future[bytes] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not waiter.done():
                if outcome.error is None:
                    waiter.set_result(outcome.payload)
                else:
                    waiter.set_exception(outcome.error)

        call_id = self.start_call(target, payload, context=context, done=done, instance=instance, http=http)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.cancel_call(call_id)
            raise

    def start_call(
        self,
        target: str,
        payload: bytes,
        *,
        context: CallContext,
        done: Done,
        instance: int = 0,
        http: bool = False,
    ) -> int:
        """Begins a call; `done` is called exactly once, possibly before this returns, unless the call is cancelled."""
        refusal = self._refusal(len(payload))
        left_s = context.deadline - self._loop.time()
        if refusal is not None or left_s <= 0:
            done(Outcome(b"", refusal or NotStarted("the deadline had passed before the call was sent")))
            return 0
        call_id = self._new_id()
        self._outbox.sequence += 1
        slot = self._deadlines.add(call_id, context.deadline)
        self._pending[call_id] = _Pending(done, slot, self._outbox.sequence)
        try:
            self._send_call(call_id, target, payload, context, left_s, instance, f.FLAG_HTTP if http else 0)
        except FrameInvalid as error:
            self._end_call(call_id, Outcome(b"", NotStarted(str(error))))
        return call_id

    def cancel_call(self, call_id: int) -> None:
        """Gives up: `done` is not called any more, the handler is cancelled."""
        pending = self._pending.pop(call_id, None)
        if pending is not None:
            pending.slot.discard(call_id)
            self._outbox.write(f.pack(f.CANCEL, call_id))
            self._note_idle()

    def stream(self, target: str, payload: bytes = b"") -> IncomingStream:
        """Items as the far side yields them, until it ends. No deadline: a stream lives until closed."""
        call_id = self._new_id()
        stream = IncomingStream(self, call_id)
        refusal = self._refusal(len(payload))
        if refusal is not None:
            stream.end(refusal)
            return stream
        self._streams[call_id] = stream
        context = CallContext.root(self._loop.time())
        self._send_call(call_id, target, payload, context, f.DEADLINE_MS_MAX / 1_000, 0, f.FLAG_STREAM)
        return stream

    def notify(self, target: str, payload: bytes) -> bool:
        """One way, no answer. False when not connected, when too much is unsent, or when it does not fit one frame."""
        too_large = len(payload) + len(target) + f.HEAD_BYTES + 1 > f.FRAME_BYTES_MAX
        if too_large or self._refusal(len(payload)) is not None:
            return False
        self._outbox.write(f.pack_notify(target.encode(), payload))
        return True

    async def ping(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Returns when the far side's loop answered. Raises DeadlineExceeded or ConnectionLost."""
        call_id = self._new_id()
        pong = self._pongs[call_id] = self._loop.create_future()
        self._outbox.write(f.pack(f.PING, call_id))
        try:
            async with asyncio.timeout(deadline_s):
                await pong
        except TimeoutError:
            raise DeadlineExceeded(f"no answer to a ping in {deadline_s} s") from None
        finally:
            self._pongs.pop(call_id, None)

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def in_progress(self) -> int:
        """Outgoing calls that wait for their end."""
        return len(self._pending)

    @property
    def handling(self) -> int:
        """Incoming calls that are not yet answered."""
        return len(self._dispatch)

    @property
    def close_reason(self) -> str:
        return self._close_reason

    async def wait_idle(self) -> None:
        """Returns once no outgoing call waits for its end."""
        while self._pending:
            self._idle = self._idle or self._loop.create_future()
            await asyncio.shield(self._idle)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    async def writable(self) -> None:
        """Returns once the transport takes more. Raises ConnectionLost."""
        await self._outbox.writable()

    def goaway(self) -> None:
        """Asks the other side to start nothing new here; what runs goes on."""
        self._outbox.write(f.pack(f.GOAWAY, 0))

    async def close(self) -> None:
        self.abort("closed by this side", flush=True)
        await self.wait_closed()

    def abort(self, reason: str, *, flush: bool = False) -> None:
        self._close_reason = self._close_reason or reason
        self.is_open = False
        if self._transport is None:
            self._lost()
            return
        if flush:
            self._outbox.flush()
            self._transport.close()
        else:
            self._transport.abort()

    # -- answering (used by Dispatch and raw handlers) ---------------------------------------------------------------

    def send_reply(self, call_id: int, payload: bytes) -> None:
        self._dispatch.ended(call_id)
        if len(payload) <= f.PART_BYTES:
            self._outbox.write(f.HEAD.pack(6 + len(payload), f.REPLY, 0, call_id) + payload)
        elif len(payload) > f.MESSAGE_BYTES_MAX:
            self.send_error(call_id, RemoteFault(code="reply_too_large", detail="the reply exceeds 16 MiB"))
        else:
            self._outbox.write(f.pack(f.REPLY, call_id, payload[: f.PART_BYTES], f.FLAG_MORE))
            self._outbox.write_rest(f.FLAG_OF_REPLY, call_id, payload)

    def send_error(self, call_id: int, fault: RemoteFault) -> None:
        self._dispatch.ended(call_id)
        body = encode_fault(fault)
        if len(body) > f.FRAME_BYTES_MAX - f.HEAD_BYTES:  # sent as it is, it would end the connection
            body = encode_fault(RemoteFault(code="reply_too_large", detail=f"the error {fault.code} exceeds 2 MiB"))
        self._outbox.write(f.pack(f.ERROR, call_id, body))

    def send_nack(self, call_id: int, reason: str, retry_after_ms: int = 0) -> None:
        self._dispatch.ended(call_id)
        self._outbox.write(f.pack_nack(call_id, reason, retry_after_ms))

    def send_chunk(self, call_id: int, item: bytes) -> None:
        self._outbox.write(f.pack(f.CHUNK, call_id, item))

    def send_credit(self, call_id: int, count: int) -> None:
        self._outbox.write(f.pack_credit(call_id, count))

    def drop_stream(self, call_id: int) -> None:
        if self._streams.pop(call_id, None) is not None:
            self._outbox.write(f.pack(f.CANCEL, call_id))

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # streams only: Unix, TCP, TLS
        try:
            self.peer = self._admit(self._transport) if self._admit is not None else ""
        except CallFault as error:
            self.abort(str(error))
            return
        self.is_open = True
        self._outbox.open(self._transport)
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, flags, call_id, buffer, start, end in self._parser.feed(data):
                self._frame(kind, flags, call_id, buffer, start, end)
        except FrameInvalid as error:
            self._parser = f.FrameParser()
            self.abort(str(error))

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._close_reason = self._close_reason or (str(error) if error else "closed by the other side")
        self._lost()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _frame(self, kind: int, flags: int, call_id: int, buffer: bytes, start: int, end: int) -> None:
        if not self.is_open:
            return
        if kind == f.REPLY and not flags:
            pending = self._pending.pop(call_id, None)
            if pending is not None:
                pending.slot.discard(call_id)
                pending.done(Outcome(buffer[start + f.HEAD_BYTES : end]))
                if self._idle is not None:
                    self._note_idle()
            elif call_id in self._streams:
                self._streams.pop(call_id).end(None)
        elif kind == f.CALL:
            self._dispatch.call(call_id, flags, *f.unpack_call(buffer, start, end, self._loop.time()))
        else:
            self._other(kind, flags, call_id, buffer[start + f.HEAD_BYTES : end])

    def _other(self, kind: int, flags: int, call_id: int, body: bytes) -> None:  # noqa: PLR0912  a flat table of kinds
        if kind == f.ERROR:
            self._end_call(call_id, Outcome(b"", error_of(decode_fault(body))))
        elif kind == f.NACK:
            reason, retry_after_ms = f.unpack_nack(body)
            self._end_call(call_id, Outcome(b"", NotStarted(reason, retry_after_ms=retry_after_ms)))
        elif kind == f.REPLY:
            self._reply_part(call_id, body, more=True)
        elif kind == f.PART and flags & f.FLAG_OF_REPLY:
            self._reply_part(call_id, body, more=bool(flags & f.FLAG_MORE))
        elif kind == f.PART:
            self._dispatch.part(call_id, body, more=bool(flags & f.FLAG_MORE))
        elif kind == f.CANCEL:
            self._dispatch.cancel(call_id)
        elif kind == f.CHUNK:
            stream = self._streams.get(call_id)
            if stream is not None:
                stream.push(body)
        elif kind == f.CREDIT:
            self._dispatch.credit(call_id, f.unpack_credit(body))
        elif kind == f.NOTIFY:
            self._notified(*f.unpack_notify(body))
        elif kind == f.PING:
            self._outbox.write(f.pack(f.PONG, call_id))
        elif kind == f.PONG:
            pong = self._pongs.get(call_id)
            if pong is not None and not pong.done():
                pong.set_result(None)
        elif kind == f.GOAWAY:
            self.leaving = True
            if self.handlers.goaway is not None:
                self.handlers.goaway(self)

    def _notified(self, target: str, payload: bytes) -> None:
        handler = self.handlers.notifies.get(target)
        if handler is not None:
            handler(self.peer, payload)

    def _reply_part(self, call_id: int, body: bytes, *, more: bool) -> None:
        pending = self._pending.get(call_id)
        if pending is None:
            return
        if pending.parts is None:
            pending.parts = bytearray()
        pending.parts += body
        if len(pending.parts) > f.MESSAGE_BYTES_MAX:
            raise FrameInvalid("a reply exceeds 16 MiB")
        if not more:
            self._end_call(call_id, Outcome(bytes(pending.parts)))

    def _end_call(self, call_id: int, outcome: Outcome) -> None:
        pending = self._pending.pop(call_id, None)
        if pending is not None:
            pending.slot.discard(call_id)
            pending.done(outcome)
            self._note_idle()
        elif call_id in self._streams:
            self._streams.pop(call_id).end(outcome.error)

    def _expire(self, call_id: int) -> None:
        pending = self._pending.pop(call_id, None)
        if pending is None:
            return
        self._outbox.write(f.pack(f.CANCEL, call_id))
        pending.done(Outcome(b"", NoReply("no reply before the deadline")))
        self._note_idle()

    def _note_idle(self) -> None:
        if self._idle is not None and not self._pending:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None

    def _refusal(self, size: int) -> NotStarted | None:
        if not self.is_open:
            return NotStarted(self._close_reason or "not connected")
        if self.leaving:
            return NotStarted("the peer is leaving")
        if size > f.MESSAGE_BYTES_MAX:
            return MessageTooLarge(f"a message of {size} bytes; the limit is {f.MESSAGE_BYTES_MAX}")
        if self._outbox.is_full or len(self._pending) >= CALLS_MAX:
            return Congested("too much waits to be sent on this connection")
        return None

    def _new_id(self) -> int:
        self._next_id = self._next_id % _CALL_ID_MAX + 1
        while self._next_id in self._pending or self._next_id in self._streams:
            self._next_id = self._next_id % _CALL_ID_MAX + 1
        return self._next_id

    def _send_call(
        self, call_id: int, target: str, payload: bytes, context: CallContext, left_s: float, instance: int, flags: int
    ) -> None:
        deadline_ms, name = min(int(left_s * 1_000) + 1, f.DEADLINE_MS_MAX), target.encode()
        if len(payload) <= f.PART_BYTES:
            self._outbox.write(f.pack_call(call_id, name, payload, context, deadline_ms, instance, flags))
            return
        first = payload[: f.PART_BYTES]
        self._outbox.write(
            f.pack_call(call_id, target.encode(), first, context, deadline_ms, instance, flags | f.FLAG_MORE)
        )
        self._outbox.write_rest(0, call_id, payload)

    def _awaits(self, call_id: int) -> bool:
        return call_id in self._pending or call_id in self._streams

    def _lost(self) -> None:
        if self._closed.done():
            return
        self._closed.set_result(None)
        self.is_open = False
        self._transport = None
        self._deadlines.close()
        self._outbox.close()
        self._dispatch.close()
        self._fail_pending()
        if self.on_lost is not None:
            self.on_lost(self)

    def _fail_pending(self) -> None:
        pending, self._pending = self._pending, {}
        streams, self._streams = self._streams, {}
        for waiting in pending.values():
            if waiting.sequence > self._outbox.sequence_sent:
                waiting.done(Outcome(b"", NotStarted(f"never sent: {self._close_reason}")))
            else:
                waiting.done(Outcome(b"", ConnectionLost(f"connection lost: {self._close_reason}")))
        self._note_idle()
        for stream in streams.values():
            stream.end(ConnectionLost(f"connection lost: {self._close_reason}"))
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_exception(ConnectionLost(self._close_reason))
