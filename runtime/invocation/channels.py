"""The channels a router sends over: links to workers and to other gateways, and the host in this very process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from runtime.errors import RuntimeFault
from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallCancelled, CallFault, DeadlineExceeded, NotStarted, RemoteFault
from runtime.invocation.incoming import IncomingCall
from runtime.invocation.link import Link
from runtime.invocation.outcome import Outcome
from runtime.invocation.tasks import CallTasks

DRAIN_S_MAX: Final = 30.0


def _nothing() -> None:
    """Cancels a call that has already ended."""


class LinkChannel:
    """Calls over a link; not ready while it is down or the other side is leaving."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def is_ready(self) -> bool:
        connection = self._link.now
        return connection is not None and not connection.leaving

    def start_call(
        self,
        target: str,
        payload: bytes,
        *,
        context: CallContext,
        done: Callable[[Outcome], None],
        instance: int,
        http: bool,
    ) -> Callable[[], None]:
        connection = self._link.now
        if connection is None:
            done(Outcome(b"", NotStarted(f"not connected to {self._link.name}")))
            return _nothing
        call_id = connection.start_call(target, payload, context=context, done=done, instance=instance, http=http)
        return lambda: connection.cancel_call(call_id)

    async def connected(self, *, deadline_s: float) -> bool:
        try:
            await self._link.connection(deadline_s=deadline_s)
        except NotStarted:
            return False
        return True

    async def retire(self) -> None:
        """Closes once the calls in progress have ended, or after 30 s."""
        connection = self._link.now
        if connection is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S_MAX):
                    await connection.wait_idle()
        await self._link.close()

    async def close(self) -> None:
        await self._link.close()


class InlineChannel:
    """Calls to the instance host of this process: a task each, no socket."""

    def __init__(self, answer: Callable[[IncomingCall], Awaitable[bytes]]) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._tasks = CallTasks(self._loop)
        self._next = 0

    @property
    def is_ready(self) -> bool:
        return True

    def start_call(
        self,
        target: str,
        payload: bytes,
        *,
        context: CallContext,
        done: Callable[[Outcome], None],
        instance: int,
        http: bool,
    ) -> Callable[[], None]:
        self._next += 1
        call_id = self._next
        incoming = IncomingCall(None, call_id, target, payload, context, instance, http)
        if not self._tasks.start(call_id, self._run(incoming, done)):
            done(Outcome(b"", NotStarted("too many inline calls")))
        return lambda: self._tasks.cancel(call_id)

    async def _run(self, incoming: IncomingCall, done: Callable[[Outcome], None]) -> None:
        try:
            async with asyncio.timeout_at(incoming.context.deadline):
                outcome = Outcome(await self._answer(incoming))
        except TimeoutError:
            outcome = Outcome(b"", DeadlineExceeded("no reply before the deadline"))
        except CallFault as error:
            outcome = Outcome(b"", error)
        except RuntimeFault as error:
            fault = RemoteFault(code=error.code, detail=str(error), retryable=error.retryable, remedy=error.remedy)
            outcome = Outcome(b"", fault)
        except asyncio.CancelledError:
            outcome = Outcome(b"", CallCancelled("the call was cancelled"))
        finally:
            self._tasks.ended(incoming.call_id)
        done(outcome)
