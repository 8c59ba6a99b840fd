"""Undoing what was applied, by its proposal or by its audit record: the inverse is submitted like any other change."""

from __future__ import annotations

import msgspec
from fastapi import Request, Response

from agent_api.control_api.changes import ERRORS, HEADERS, Changes, ChangeWords, told_of
from agent_api.control_api.deciding import Reason, reason_of
from agent_api.control_api.endpoint import Endpoint, Handler
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import NothingToUndo, RecordUnknown
from controllers.gate.audit import AuditRecord
from controllers.gate.reading import find_proposal, find_record
from controllers.gate.uncut import Undo, WholeProposal, unpacked
from runtime.operations.actor import Role
from runtime.operations.plan import Call
from runtime.state import keys


class Undoing:
    def __init__(self, parts: ApiParts, changes: Changes) -> None:
        self._parts = parts
        self._changes = changes

    def endpoints(self) -> list[Endpoint]:
        return [
            _endpoint(
                "proposal.rollback",
                "Undo a proposal that was applied: submits its inverse.",
                "/v1/proposals/{id}/rollback",
                self._of_proposal,
                ("proposal_not_found",),
            ),
            _endpoint(
                "audit.rollback",
                "Undo a change by the id of its audit record: submits its inverse.",
                "/v1/audit/{id}/rollback",
                self._of_record,
                ("record_not_found",),
            ),
        ]

    async def _of_proposal(self, request: Request) -> Response:
        """Whether it is one that was applied, and not undone since, is for the gate to say."""
        reason = await reason_of(request)
        state = self._parts.view.cache
        proposal = find_proposal(state, request.path_params["id"])
        item = state.get(keys.proposal_whole(proposal.id))
        whole = unpacked(item.value, WholeProposal) if item is not None else None
        if whole is None or whole.inverse is None:
            raise NothingToUndo(f"{proposal.call.operation} has no inverse")
        return await self._submitted(request, Undo(inverse=whole.inverse, proposal=proposal.id), reason)

    async def _of_record(self, request: Request) -> Response:
        reason = await reason_of(request)
        identity = request.path_params["id"]
        return await self._submitted(request, await self._undo(identity), reason or f"undoes {identity}")

    async def _submitted(self, request: Request, undo: Undo, reason: str) -> Response:
        operation = self._parts.catalogue.change(undo.inverse.operation)
        words = reason or f"undoes {undo.proposal}"
        return await self._changes.submit(request, operation, undo.inverse.request, reason=words, undoes=undo.proposal)

    async def _undo(self, identity: str) -> Undo:
        """Kept apart, or in the record itself. Raises RecordUnknown, NothingToUndo, StoreFault."""
        item = self._parts.view.cache.get(keys.undo(identity))
        undo = unpacked(item.value, Undo) if item is not None else None
        if undo is not None:
            return undo
        record = await find_record(self._parts.store, identity)
        if record is None:
            raise RecordUnknown(f"the store holds no audit record {identity[:80]!r}")
        return Undo(inverse=_kept_in(record), proposal=record.proposal)


def _kept_in(record: AuditRecord) -> Call:
    """Raises NothingToUndo."""
    inverse = record.detail.get("inverse")
    if inverse is None:
        said = record.summary or record.kind
        raise NothingToUndo(f"{said}: nothing is kept that would undo it")
    return msgspec.convert(inverse, Call)


def _endpoint(name: str, summary: str, path: str, handle: Handler, errors: tuple[str, ...]) -> Endpoint:
    return Endpoint(
        name=name,
        summary=summary,
        method="POST",
        path=path,
        handle=handle,
        role=Role.OPERATOR,
        gated=True,
        words=ChangeWords,
        body=Reason,
        headers=HEADERS,
        answers=told_of(None),
        errors=(*errors, "nothing_to_undo", "proposal_ended", "out_of_bounds", *ERRORS),
    )
