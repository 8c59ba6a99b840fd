"""What can be asked about conversations: by their owners, and by admins."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from controllers.conversations.operations import ConversationField
from controllers.conversations.records import TurnState
from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs


class ConversationListRequest(PageRequest, frozen=True, kw_only=True):
    """The one with the newest word first."""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="Most items of one page.")] = 100
    all: Annotated[bool, Meta(description="Those of everybody; for admins.")] = False


class ConversationRow(Row, frozen=True, kw_only=True):
    id: str
    title: Annotated[str, Meta(description="How it began.")]
    owner: str
    created_unix_ms: UnixMs
    last_unix_ms: UnixMs
    turns: int
    answering: Annotated[bool, Meta(description="A turn is under way.")]
    tainted: Annotated[bool, Meta(description="It holds text that anybody may have written, such as logs.")]


class ConversationPage(Page, frozen=True, kw_only=True):
    items: tuple[ConversationRow, ...]


class ConversationRequest(Request, frozen=True, kw_only=True):
    id: ConversationField


class ConversationShowRequest(ConversationRequest, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, description="Only turns behind this number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=200, description="Most turns of one answer.")] = 50


class CardShown(Row, frozen=True, kw_only=True):
    """What was made of a card."""

    id: str
    outcome: Literal["applied", "proposed"]
    state: Annotated[str, Meta(description="Of the proposal, or `applied`; empty where it is gone.")]
    at_unix_ms: UnixMs
    by: str
    summary: str
    proposal: Annotated[str, Meta(description="Empty where it was applied at once.")]
    audit: Annotated[str, Meta(description="The audit record of a change at once.")]


class TurnShown(Row, frozen=True, kw_only=True):
    number: int
    by: str
    text: Annotated[str, Meta(description="What was said, without secrets.")]
    state: Annotated[TurnState, Meta(description="`broken`: the answer broke off, such as when its node died.")]
    began_unix_ms: UnixMs
    ended_unix_ms: Annotated[int, Meta(description="0 while it is being answered.")]
    answered_by: str
    kind: str
    tainted: bool
    events: Annotated[tuple[dict[str, Json], ...], Meta(description="As they were told, without secrets.")]
    left_out: Annotated[int, Meta(description="Events beyond what is kept of a turn.")]
    lost: Annotated[bool, Meta(description="The events are on no node that is up.")] = False


class ConversationShown(Result, frozen=True, kw_only=True):
    id: str
    title: str
    owner: str
    created_unix_ms: UnixMs
    last_unix_ms: UnixMs
    tainted: bool
    turns: tuple[TurnShown, ...]
    cards: Annotated[tuple[CardShown, ...], Meta(description="Those that somebody made something of.")]
    more: Annotated[int, Meta(description="Turns behind the last one told: ask with `after`.")]


class ConversationNote(Result, frozen=True, kw_only=True):
    id: str
    title: str
    markdown: Annotated[str, Meta(description="Timeline, evidence, plan and outcome, for an incident's file.")]


_NOT_FOUND: Final = ("conversation_not_found",)

QUERIES: Final = (
    read(
        "conversation.list",
        "Conversations with the cluster.",
        ConversationListRequest,
        ConversationPage,
        "/v1/conversations",
        errors=("forbidden",),
    ),
    read(
        "conversation.show",
        "What was said in a conversation, what was answered, and what was made of its cards.",
        ConversationShowRequest,
        ConversationShown,
        "/v1/conversations/{id}",
        errors=_NOT_FOUND,
    ),
    read(
        "conversation.export",
        "A conversation as an incident's note: timeline, evidence, plan and outcome, in Markdown.",
        ConversationRequest,
        ConversationNote,
        "/v1/conversations/{id}/note",
        errors=_NOT_FOUND,
    ),
)
