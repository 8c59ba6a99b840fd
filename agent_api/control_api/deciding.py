"""Votes on proposals, taking one back, and undoing one that was applied."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.changes import ERRORS, HEADERS, Changes, ChangeWords, answer, told_of, trace_id
from agent_api.control_api.decoding import body_of, converted, json_object, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import Endpoint, Handler, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined, problem
from controllers.gate.errors import ProposalEnded, ProposalNotFound
from controllers.gate.proposals import REASON_CHARS_MAX, Proposal, ProposalState
from controllers.gate.remote import VoteCast, Withdrawal
from controllers.gate.uncut import WholeProposal, unpacked
from runtime.operations.actor import Role
from runtime.operations.catalogue import nearest
from runtime.operations.dispatch import Refused
from runtime.state import keys

_ERRORS: Final = ("proposal_not_found", "proposal_ended", "vote_refused", "changed_meanwhile", "request_invalid")


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX, description="Why; kept in the audit.")] = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The proposal as it is then. One that has all its approvals is applied by the leader a moment later."""

    proposal: Proposal


class Deciding:
    """The endpoints below /v1/proposals/{id}."""

    def __init__(self, parts: ApiParts, changes: Changes) -> None:
        self._parts = parts
        self._changes = changes

    def endpoints(self) -> list[Endpoint]:
        return [
            self._endpoint("approve", "Vote for a proposal.", self._approve),
            self._endpoint("reject", "Vote against a proposal, which ends it.", self._reject),
            self._endpoint("withdraw", "Take back a proposal of one's own.", self._withdraw),
            Endpoint(
                name="proposal.rollback",
                summary="Undo a proposal that was applied: submits its inverse.",
                method="POST",
                path="/v1/proposals/{id}/rollback",
                handle=self._rollback,
                role=Role.OPERATOR,
                gated=True,
                words=ChangeWords,
                body=Reason,
                headers=HEADERS,
                answers=told_of(None),
                errors=("proposal_not_found", "proposal_ended", "out_of_bounds", *ERRORS),
            ),
        ]

    def _endpoint(self, verb: str, summary: str, handle: Handler) -> Endpoint:
        return Endpoint(
            name=f"proposal.{verb}",
            summary=summary,
            method="POST",
            path=f"/v1/proposals/{{id}}/{verb}",
            handle=handle,
            role=Role.OPERATOR,
            gated=True,
            body=Reason,
            answers=(Told(status=200, says="The proposal after it.", model=Decision),),
            errors=_ERRORS,
        )

    async def _approve(self, request: Request) -> Response:
        return await self._vote(request, approve=True)

    async def _reject(self, request: Request) -> Response:
        return await self._vote(request, approve=False)

    async def _vote(self, request: Request, *, approve: bool) -> Response:
        reason = await _reason(request)
        words_of(request, NoWords)
        cast = VoteCast(
            proposal=request.path_params["id"],
            actor=caller_of(request).actor,
            approve=approve,
            reason=reason,
            trace_id=trace_id(),
        )
        return _decided(await self._parts.dispatcher.vote(cast))

    async def _withdraw(self, request: Request) -> Response:
        reason = await _reason(request)
        words_of(request, NoWords)
        withdrawal = Withdrawal(
            proposal=request.path_params["id"], actor=caller_of(request).actor, reason=reason, trace_id=trace_id()
        )
        return _decided(await self._parts.dispatcher.withdraw(withdrawal))

    async def _rollback(self, request: Request) -> Response:
        reason = await _reason(request)
        proposal = self._find(request.path_params["id"])
        if proposal.state is not ProposalState.APPLIED:
            raise ProposalEnded(f"proposal {proposal.id} is {proposal.state}: there is nothing to undo")
        whole = self._whole(proposal.id)
        if whole is None or whole.inverse is None:
            raise ProposalEnded(f"{proposal.call.operation} has no inverse: make the change that you want instead")
        operation = self._parts.catalogue.change(whole.inverse.operation)
        return await self._changes.submit(
            request, operation, whole.inverse.request, reason=reason or f"undoes {proposal.id}"
        )

    def _find(self, identity: str) -> Proposal:
        """Raises ProposalNotFound."""
        state = self._parts.view.cache
        item = state.get(keys.proposal(identity))
        if item is None:
            known = [each.key.removeprefix(keys.PROPOSALS) for each in state.items(keys.PROPOSALS)]
            raise ProposalNotFound(f"there is no proposal {identity[:80]!r}{nearest(identity, known)}")
        return msgspec.json.decode(item.value, type=Proposal)

    def _whole(self, identity: str) -> WholeProposal | None:
        item = self._parts.view.cache.get(keys.proposal_whole(identity))
        return unpacked(item.value, WholeProposal) if item is not None else None


async def _reason(request: Request) -> str:
    return converted(json_object(await body_of(request)), Reason).reason


def _decided(outcome: Proposal | Refused) -> Response:
    return problem(Declined(outcome)) if isinstance(outcome, Refused) else answer(Decision(proposal=outcome))
