"""The verbs of a store process. What only the leader can do is handed on to it, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, Protocol, runtime_checkable

import msgspec

from runtime.consensus import commands as c
from runtime.consensus import errors as e
from runtime.consensus import wire as w
from runtime.consensus.dialing import check_address
from runtime.consensus.engine import Engine, EngineStore
from runtime.consensus.watch_parts import encode_batch
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault, NotStarted, RemoteFault
from runtime.invocation.incoming import Handlers, IncomingCall, UnaryHandler
from runtime.invocation.outcome import Outcome as CallOutcome

WATCHERS_MAX: Final = 1_000


class MemberEngine(Engine, Protocol):
    """An engine whose members can change."""

    async def add_member(self, node: str, address: str, *, rises: bool = True) -> None: ...

    async def remove_member(self, node: str) -> None: ...

    def members(self) -> dict[str, str]: ...


@runtime_checkable
class Submits(Protocol):
    """An engine that takes a change without a task that waits for it."""

    def submit(self, command: bytes, told: Callable[[c.Result | e.StoreFault], None]) -> None:
        """As `propose`, but `told` is called with what that returns or raises, unless this raises it."""
        ...


class StoreServer:
    """`peer(node)` gives the connection to another member's store, or None while there is none. Without `peer` every
    member may do everything, as on an engine outside the cluster."""

    def __init__(self, engine: MemberEngine, *, peer: Callable[[str], Connection | None] | None) -> None:
        self._engine = engine
        self._store = EngineStore(engine)
        self._peer = peer
        self.watchers = 0

    def offer(self, handlers: Handlers) -> None:
        handlers.unary |= {
            w.GET: self.on_leader(self._get, lambda raw: w.decode_get(raw).stale_ok),
            w.RANGE: self.on_leader(self._range, lambda raw: w.decode_range(raw).stale_ok),
            w.ADD_MEMBER: self.on_leader(self._add_member),
            w.REMOVE_MEMBER: self.on_leader(self._remove_member),
            w.STATUS: self._status,
            w.MEMBERS: self._members,
        }
        if isinstance(self._engine, Submits) and self._peer is not None:
            handlers.direct[w.COMMAND] = partial(self._submit, self._engine, self._peer)
        else:
            handlers.unary[w.COMMAND] = self.on_leader(self._command)
        handlers.streams |= {w.WATCH: self._watch, w.LEADERSHIP: self._leadership}

    def on_leader(
        self,
        handler: Callable[[bytes], Awaitable[bytes]],
        anywhere: Callable[[bytes], bool] = lambda _raw: False,
    ) -> UnaryHandler:
        """Does it here if this member leads or `anywhere` allows it, else hands it to the leader."""

        async def handle(call: IncomingCall) -> bytes:
            try:
                if self._peer is None or anywhere(call.payload):
                    return await handler(call.payload)
                leader = self._engine.leader()
                if leader and leader != self._engine.node and call.context.principal != w.FORWARDED:
                    return await self._forward(leader, call)
                return await handler(call.payload)
            except msgspec.DecodeError as error:
                raise e.InvalidRequest(f"{call.target}: {error}") from error

        return handle

    async def _forward(self, leader: str, call: IncomingCall) -> bytes:
        assert self._peer is not None
        connection = self._peer(leader)
        if connection is None:
            raise NotStarted(f"the leader {leader} is not connected")
        context = call.context.child()
        context.principal = w.FORWARDED
        try:
            return await connection.call(call.target, call.payload, context=context)
        except (RemoteFault, NotStarted):
            raise
        except CallFault as error:
            raise e.StoreUnavailable(f"the leader {leader} did not answer: {error}") from error

    async def _get(self, raw: bytes) -> bytes:
        request = w.decode_get(raw)
        return w.encode(await self._store.get(request.key, at_revision=request.at_revision, stale_ok=request.stale_ok))

    async def _range(self, raw: bytes) -> bytes:
        request = w.decode_range(raw)
        return w.encode(
            await self._store.range(
                request.prefix,
                after=request.after,
                limit=request.limit,
                at_revision=request.at_revision,
                stale_ok=request.stale_ok,
            )
        )

    async def _command(self, raw: bytes) -> bytes:
        return w.encode(await self._store.command(w.decode_command(raw)))

    def _submit(self, engine: Submits, peer: Callable[[str], Connection | None], call: IncomingCall) -> None:
        """Without a task: what the client encoded goes into the log as it is, and the result to the client."""
        leader = self._engine.leader()
        try:
            if leader and leader != self._engine.node and call.context.principal != w.FORWARDED:
                self._forward_command(leader, peer(leader), call)
                return
            w.decode_command(call.payload)
            engine.submit(call.payload, lambda outcome: _answer(call, outcome))
        except msgspec.DecodeError as error:
            _answer(call, e.InvalidRequest(f"{call.target}: {error}"))
        except e.StoreFault as fault:
            _answer(call, fault)

    def _forward_command(self, leader: str, connection: Connection | None, call: IncomingCall) -> None:
        if connection is None:
            call.fail(NotStarted(f"the leader {leader} is not connected"))
            return
        context = call.context.child()
        context.principal = w.FORWARDED

        def done(outcome: CallOutcome) -> None:
            error = outcome.error
            if error is None or isinstance(error, RemoteFault | NotStarted):
                call.finish(outcome)
            else:
                _answer(call, e.StoreUnavailable(f"the leader {leader} did not answer: {error}"))

        call_id = connection.start_call(call.target, call.payload, context=context, done=done)
        call.on_cancel = lambda: connection.cancel_call(call_id)

    async def _add_member(self, raw: bytes) -> bytes:
        request = w.decode_member(raw)
        check_address(request.address)
        await self._engine.add_member(request.node, request.address, rises=request.rises)
        return b""

    async def _remove_member(self, raw: bytes) -> bytes:
        await self._engine.remove_member(w.decode_member(raw).node)
        return b""

    async def _status(self, _call: IncomingCall) -> bytes:
        return w.encode(await self._store.status())

    async def _members(self, _call: IncomingCall) -> bytes:
        return w.encode(w.Members(self._engine.members()))

    async def _watch(self, call: IncomingCall) -> AsyncIterator[bytes]:
        try:
            request = w.decode_watch(call.payload)
        except msgspec.DecodeError as error:
            raise e.InvalidRequest(f"{call.target}: {error}") from error
        if self.watchers >= WATCHERS_MAX:
            raise e.TooManyWatchers(f"{WATCHERS_MAX} watches are open on {self._engine.node}, which is the most")
        self.watchers += 1
        try:
            async for batch in self._store.watch(request.prefixes, from_revision=request.from_revision):
                for part in encode_batch(batch):
                    yield part
        finally:
            self.watchers -= 1

    async def _leadership(self, _call: IncomingCall) -> AsyncIterator[bytes]:
        async for leadership in self._store.leadership():
            yield w.encode(leadership)


def _answer(call: IncomingCall, outcome: c.Result | e.StoreFault) -> None:
    """A refusal is a result of the log, but an error to who asked."""
    if isinstance(outcome, c.Failed):
        outcome = e.error_of(outcome.code, outcome.detail)
    if isinstance(outcome, e.StoreFault):
        fault = RemoteFault(code=outcome.code, detail=str(outcome), retryable=outcome.retryable, remedy=outcome.remedy)
        call.fail(fault)
    else:
        assert call.connection is not None
        call.connection.send_reply(call.call_id, w.encode(outcome))
