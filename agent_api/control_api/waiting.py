"""Waiting until a change has taken hold, as the state that is cached here shows it."""

from __future__ import annotations

from typing import Protocol

import anyio

from runtime.consensus.store import Revision
from runtime.deployment.records import Snapshot
from runtime.operations.operation import AnyChange, Convergence, Request
from runtime.operations.state import PlanState


class Watched(Snapshot, Protocol):
    """A cache that tells when it changes."""

    async def changed(self, after: Revision) -> Revision: ...


async def until_converged(state: Watched, operation: AnyChange, request: Request, *, wait_s: float) -> Convergence:
    """As it stands once it is done, or after `wait_s`."""
    with anyio.move_on_after(wait_s):
        while True:
            seen = state.revision
            now = operation.converged(PlanState(state), request)
            if now.done:
                return now
            await state.changed(seen)
    return operation.converged(PlanState(state), request)
