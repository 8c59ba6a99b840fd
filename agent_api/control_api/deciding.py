"""Votes on proposals, and taking one back."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.changes import answer, trace
from agent_api.control_api.decoding import body_of, converted, json_object, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import Endpoint, Handler, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined, problem
from controllers.gate.proposals import REASON_CHARS_MAX, Proposal
from controllers.gate.remote import VoteCast, Withdrawal
from runtime.operations.actor import Role
from runtime.operations.dispatch import Refused

_ERRORS: Final = (
    "proposal_not_found",
    "proposal_ended",
    "vote_refused",
    "changed_meanwhile",
    "body_too_large",
    "session_lost",
)


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX, description="Why; kept in the audit.")] = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The proposal as it is then. One that has all its approvals is applied by the leader a moment later."""

    proposal: Proposal


class Deciding:
    """The endpoints below /v1/proposals/{id}."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def endpoints(self) -> list[Endpoint]:
        return [
            self._endpoint("approve", "Vote for a proposal.", self._approve),
            self._endpoint("reject", "Vote against a proposal, which ends it.", self._reject),
            self._endpoint("withdraw", "Take back a proposal of one's own.", self._withdraw),
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
        reason = await reason_of(request)
        words_of(request, NoWords)
        cast = VoteCast(
            proposal=request.path_params["id"],
            actor=caller_of(request).actor,
            approve=approve,
            reason=reason,
            trace=trace(),
        )
        return _decided(await self._parts.dispatcher.vote(cast))

    async def _withdraw(self, request: Request) -> Response:
        reason = await reason_of(request)
        words_of(request, NoWords)
        withdrawal = Withdrawal(
            proposal=request.path_params["id"], actor=caller_of(request).actor, reason=reason, trace=trace()
        )
        return _decided(await self._parts.dispatcher.withdraw(withdrawal))


async def reason_of(request: Request) -> str:
    """Of the body. Raises RequestInvalid."""
    return converted(json_object(await body_of(request)), Reason).reason


def _decided(outcome: Proposal | Refused) -> Response:
    return problem(Declined(outcome)) if isinstance(outcome, Refused) else answer(Decision(proposal=outcome))
