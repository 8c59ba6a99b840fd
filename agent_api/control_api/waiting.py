"""Waiting until a change has taken hold, as the state that is cached here shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import msgspec

from controllers.gate.proposals import ProposalState, read_proposal
from controllers.gate.uncut import WholeProposal, unpacked
from runtime.consensus.store import Revision
from runtime.deployment.records import Snapshot
from runtime.operations.catalogue import Catalogue, OperationUnknown
from runtime.operations.operation import AnyChange, Convergence, Request
from runtime.operations.state import PlanState
from runtime.state import keys


class Watched(Snapshot, Protocol):
    """A cache that tells when it changes."""

    async def changed(self, after: Revision) -> Revision: ...


async def until_converged(state: Watched, operation: AnyChange, request: Request, *, wait_s: float) -> Convergence:
    """As it stands once it is done, or after `wait_s`."""
    await _until(state, lambda: operation.converged(PlanState(state), request).done, wait_s)
    return operation.converged(PlanState(state), request)


async def until_settled(state: Watched, catalogue: Catalogue, proposal: str, *, wait_s: float) -> None:
    """Until that proposal has ended, and where it was applied, until it has taken hold; or for `wait_s`."""
    await _until(state, lambda: _is_settled(state, catalogue, proposal), wait_s)


def convergence_of(state: Snapshot, catalogue: Catalogue, proposal: str) -> Convergence | None:
    """Of one that was applied; None for what is not, and where its request is kept no more, or is
    one of another version."""
    item = state.get(keys.proposal_whole(proposal))
    whole = unpacked(item.value, WholeProposal) if item is not None else None
    if whole is None or _state_of(state, proposal) is not ProposalState.APPLIED:
        return None
    try:
        operation = catalogue.change(whole.call.operation)
        asked = msgspec.convert(whole.call.request, operation.request)
    except (OperationUnknown, msgspec.ValidationError):
        return None
    return operation.converged(PlanState(state), asked)


def _is_settled(state: Snapshot, catalogue: Catalogue, proposal: str) -> bool:
    if _state_of(state, proposal) in (ProposalState.PENDING, ProposalState.APPROVED):
        return False
    now = convergence_of(state, catalogue, proposal)
    return now is None or now.done


def _state_of(state: Snapshot, proposal: str) -> ProposalState | None:
    item = state.get(keys.proposal(proposal))
    found = read_proposal(item.value) if item is not None else None
    return found.state if found is not None else None


async def _until(state: Watched, done: Callable[[], bool], wait_s: float) -> None:
    with anyio.move_on_after(wait_s):
        while True:
            seen = state.revision
            if done():
                return
            await state.changed(seen)
