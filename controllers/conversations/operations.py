"""What can be done to conversations, beside saying something in them."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.conversations.errors import ConversationNotFound
from controllers.conversations.records import ConversationRecord, may_see
from runtime.operations import subjects
from runtime.operations.actor import Actor, Role
from runtime.operations.fields import END
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.state import keys

ID_PATTERN: Final = rf"^[0-9a-z]{{1,40}}{END}"
ConversationField = Annotated[str, Meta(pattern=ID_PATTERN, description="Id of a conversation.")]


CardField = Annotated[str, Meta(pattern=ID_PATTERN, description="Id of a card.")]


class ConversationDeleteRequest(Request, frozen=True, kw_only=True):
    id: ConversationField


class ConversationDeleted(Result, frozen=True, kw_only=True):
    id: str
    deleted: bool


def _of(request: ConversationDeleteRequest) -> str:
    return subjects.of_conversation(request.id)


def permits_delete(state: PlanState, request: ConversationDeleteRequest, actor: Actor) -> Refusal | None:
    raw = state.value(keys.conversation(request.id))
    try:
        head = msgspec.json.decode(raw, type=ConversationRecord) if raw is not None else None
    except msgspec.DecodeError:
        head = None
    if head is not None and may_see(head, actor):
        return None
    fault = ConversationNotFound(request.id)
    return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)


def plan_delete(state: PlanState, request: ConversationDeleteRequest) -> Plan:
    """Its head goes, and nobody finds the rest any more, which the leader takes away within a minute."""
    gone = (keys.conversation(request.id), keys.conversation_cards(request.id))
    changes = tuple(KeyChange(key=key, before=state.value(key), after=None) for key in gone)
    return Plan(
        operation="conversation.delete",
        subject=_of(request),
        summary=f"conversation {request.id} is deleted",
        changes=tuple(each for each in changes if each.before is not None),
        reads=state.reads,
        result={"id": request.id, "deleted": True},
    )


OPERATIONS: Final = (
    Change(
        name="conversation.delete",
        summary="Delete a conversation of one's own, with all that was said and answered in it.",
        request=ConversationDeleteRequest,
        result=ConversationDeleted,
        route=Route(method="DELETE", path="/v1/conversations/{id}"),
        role=Role.VIEWER,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=_of,
        plan=plan_delete,
        permits=permits_delete,
        errors=("conversation_not_found",),
        heeds_freeze=False,
    ),
)
