"""What a method may know about the call it serves."""

from __future__ import annotations

import msgspec

from runtime.sdk.errors import NoCall


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The call in progress. `deadline` is on the event loop's clock."""

    request_id: str
    trace_id: str
    span_id: str
    sampled: bool
    principal: str
    deadline: float

    def seconds_left(self) -> float:
        """Never negative."""
        from asyncio import get_running_loop  # here, so that commands that read contracts do not load it

        return max(0.0, self.deadline - get_running_loop().time())


def current_call() -> Call:
    """The call in progress. Raises NoCall outside of one."""
    from runtime.invocation.context import current  # here, so that reading a contract does not load the data plane

    context = current.get()
    if context is None:
        raise NoCall
    return Call(
        request_id=context.request_id,
        trace_id=context.trace_id.hex(),
        span_id=context.span_id.hex(),
        sampled=context.sampled,
        principal=context.principal,
        deadline=context.deadline,
    )
