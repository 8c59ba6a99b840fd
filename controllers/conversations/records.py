"""What the store holds of conversations. The heads are read by every node; turns only when somebody asks for them."""

from __future__ import annotations

from typing import Literal

from runtime.operations.actor import Actor, Role
from runtime.state.values import Value

TurnState = Literal["begun", "ended", "broken"]


class Postponed(Value, frozen=True, kw_only=True):
    """An investigation of the turn with that number, which rules alone concluded as no model answered. A model goes on
    with it when one does, as whoever asked. incident: it may use what of the budget is kept for incidents."""

    number: int
    slice: str
    incident: bool
    actor: Actor
    since_unix_ms: int


class ConversationRecord(Value, frozen=True, kw_only=True):
    """`owner` is the principal who began it; it and admins see it, nobody else."""

    owner: str
    title: str
    created_unix_ms: int
    last_unix_ms: int
    turns: int = 0
    open: int = 0
    """The number of the turn that is being answered; 0 is none."""
    tainted: bool = False
    """Text was read in it that anybody may have written: what is proposed from then on is held to that."""
    cards: tuple[str, ...] = ()
    """Ids of the newest cards, the newest last."""
    bytes: int = 0
    """What its turns take in the store."""
    postponed: Postponed | None = None


def may_see(head: ConversationRecord, actor: Actor) -> bool:
    """Its owner, and admins."""
    return head.owner == actor.id or actor.may(Role.ADMIN)


class TurnRecord(Value, frozen=True, kw_only=True):
    """What was said, and the answer's events as packed JSON: in `events`, or where that is long as content."""

    number: int
    by: str
    text: str
    began_unix_ms: int
    state: TurnState = "begun"
    ended_unix_ms: int = 0
    answered_by: str = ""
    kind: str = ""
    tainted: bool = False
    events: bytes = b""
    events_sha256: str = ""
    left_out: int = 0
    """Events beyond what a turn may hold."""


class CardFate(Value, frozen=True, kw_only=True):
    """What somebody made of a card: a proposal, or a change at once."""

    outcome: Literal["applied", "proposed"]
    at_unix_ms: int
    by: str
    summary: str
    proposal: str = ""
    audit: str = ""


class CardFates(Value, frozen=True, kw_only=True):
    """By the card's id."""

    cards: dict[str, CardFate]
