"""Reviews: what went past an approval is looked at afterwards, by another person."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.changes import answer, trace
from agent_api.control_api.decoding import body_of, converted, json_object, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import Answered, Endpoint, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import Declined, problem
from controllers.gate.proposals import REASON_CHARS_MAX
from controllers.gate.remote import Closing
from controllers.gate.reviews import Review, read_review
from runtime.operations.actor import Role
from runtime.operations.dispatch import Refused
from runtime.state import keys


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[
        str, Meta(min_length=1, max_length=REASON_CHARS_MAX, description="What was found; kept in the audit.")
    ]


class OpenReviews(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[Review, ...]


class ClosedReview(msgspec.Struct, frozen=True, kw_only=True):
    review: Review


class Reviewing:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                name="review.list",
                summary="Reviews that are open.",
                method="GET",
                path="/v1/reviews",
                handle=self._list,
                answers=(Told(status=200, says="Oldest first.", model=Answered(OpenReviews)),),
            ),
            Endpoint(
                name="review.close",
                summary="Close a review with what was found.",
                method="POST",
                path="/v1/reviews/{id}/close",
                handle=self._close,
                role=Role.OPERATOR,
                gated=True,
                body=Finding,
                answers=(Told(status=200, says="It was closed.", model=ClosedReview),),
                errors=("review_not_found", "vote_refused", "changed_meanwhile", "body_too_large", "session_lost"),
            ),
        ]

    async def _list(self, request: Request) -> Response:
        words_of(request, NoWords)
        cache = self._parts.view.cache
        found = (read_review(item.value) for item in cache.items(keys.REVIEWS))
        as_of = {"revision": int(cache.revision), "stale": cache.stale or not self._parts.leader()}
        return answer(as_of | {"items": [each for each in found if each is not None]})

    async def _close(self, request: Request) -> Response:
        words_of(request, NoWords)
        finding = converted(json_object(await body_of(request)), Finding)
        closing = Closing(
            review=request.path_params["id"],
            actor=caller_of(request).actor,
            reason=finding.reason,
            trace=trace(),
        )
        outcome = await self._parts.dispatcher.close(closing)
        return problem(Declined(outcome)) if isinstance(outcome, Refused) else answer(ClosedReview(review=outcome))
