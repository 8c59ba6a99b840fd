"""What the reasoner may do for the person it answers: ask what they may ask, have changes planned, and propose some."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agent_api.control_api.answers import Answer
from agent_api.control_api.decoding import converted
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.turns import Asked, Replied, Wanted
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor, ActorKind
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.dispatch import Planned, Proposed, Refused, Submission
from runtime.operations.operation import Query


class PersonsDesk:
    """Implements ReasonerDesk. Every submission of it is a dry run, or waits for people: nothing that the reasoner says
    changes anything by itself."""

    def __init__(self, parts: ApiParts, answers: Mapping[str, Answer]) -> None:
        self._parts = parts
        self._answers = answers

    async def ask(self, asked: Asked, actor: Actor) -> Replied:
        try:
            query = self._parts.catalogue.find(asked.operation)
            if not isinstance(query, Query):
                raise OperationUnknown(f"{asked.operation[:80]} is no question")
            if not actor.may(query.role):
                return Replied(code="forbidden", detail=f"{query.name} needs the role {query.role}")
            result = await self._answers[query.name](converted(asked.request, query.request), actor)
        except RuntimeFault as fault:
            return Replied(code=fault.code, detail=str(fault), remedy=fault.remedy)
        cache = self._parts.view.cache
        about = {"revision": int(cache.revision), "stale": cache.stale or not self._parts.leader()}
        answer = {**msgspec.to_builtins(result), **about}
        return Replied(answer=msgspec.Raw(msgspec.json.encode(answer)))

    async def plan(self, asked: Asked, actor: Actor, conversation: str) -> Replied:
        try:
            change = self._parts.catalogue.change(asked.operation)
            request = msgspec.to_builtins(converted(asked.request, change.request))
            given = {name: value for name, value in request.items() if name in asked.request}
            submission = Submission(
                operation=change.name, request=given, actor=actor, dry_run=True, conversation=conversation
            )
            outcome = await self._parts.dispatcher.submit(submission)
        except RuntimeFault as fault:
            return Replied(code=fault.code, detail=str(fault), remedy=fault.remedy)
        if isinstance(outcome, Refused):
            return Replied(code=outcome.code, detail=outcome.detail, remedy=outcome.remedy)
        assert isinstance(outcome, Planned), "a dry run only plans"
        return Replied(answer=msgspec.Raw(msgspec.json.encode(outcome.plan)))

    async def propose(self, wanted: Wanted, actor: Actor, conversation: str) -> Replied:
        """As a model that acts for the person: the gate asks others than these two, whatever its policy says of
        models."""
        try:
            change = self._parts.catalogue.change(wanted.operation)
            request = msgspec.to_builtins(converted(wanted.request, change.request))
            outcome = await self._parts.dispatcher.submit(
                Submission(
                    operation=change.name,
                    request={name: value for name, value in request.items() if name in wanted.request},
                    actor=_model_of(actor),
                    reason=wanted.reason,
                    idempotency_key=f"{actor.id}/{wanted.key}",
                    propose=True,
                    evidence=wanted.evidence,
                    tainted=wanted.tainted,
                    conversation=conversation,
                    guard=wanted.guard,
                    undoes=wanted.undoes,
                )
            )
        except RuntimeFault as fault:
            return Replied(code=fault.code, detail=str(fault), remedy=fault.remedy)
        if isinstance(outcome, Refused):
            return Replied(code=outcome.code, detail=outcome.detail, remedy=outcome.remedy)
        assert isinstance(outcome, Proposed), "what is to be proposed is never applied at once"
        return Replied(answer=msgspec.Raw(msgspec.json.encode(outcome)))


def _model_of(actor: Actor) -> Actor:
    """With no more than the person whom it acts for may do."""
    return Actor(
        kind=ActorKind.MODEL,
        id=f"model:{actor.id}",
        role=actor.role,
        owns=actor.owns,
        reads_only=actor.reads_only,
        is_agent=True,
        behind=actor,
    )
