"""Turns of conversations, between the API and the process that answers them. Neither knows the other's code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from controllers.conversations.operations import ConversationField
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Guard

TEXT_CHARS_MAX: Final = 8_000
TURN: Final = "_reasoner/turn"
ASK: Final = "_reasoner/ask"
PLAN: Final = "_reasoner/plan"
PROPOSE: Final = "_reasoner/propose"
REVIEW: Final = "_reasoner/review"
AWAKE: Final = "_reasoner/awake"
SHELF_PUT: Final = "_reasoner/shelf-put"
SHELF_GET: Final = "_reasoner/shelf-get"
SHELF_LIST: Final = "_reasoner/shelf-list"
SHELF_DELETE: Final = "_reasoner/shelf-delete"
RESERVE: Final = "_reasoner/reserve"
SETTLE: Final = "_reasoner/settle"
STAND: Final = "_reasoner/stand"


class ReasonerAbsent(RuntimeFault):
    """The process that answers is not there; nothing else depends on it."""

    code, retryable = "reasoner_absent", True
    remedy = "Try again in a few seconds; all commands and the API work meanwhile."


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody said. Without `conversation` it begins one, whose id the events `begun` and `done` tell."""

    text: Annotated[
        str, Meta(min_length=1, pattern=r"\S", max_length=TEXT_CHARS_MAX, description="A sentence, or a /command.")
    ]
    conversation: ConversationField | None = None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a proposal. number: of the turn that made it."""

    number: int
    proposal: str
    ended: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A turn as the reasoner gets it: the conversation's `number`th. tainted: text was read in it before that anybody
    may have written."""

    text: str
    conversation: str
    number: int
    tainted: bool
    decided: Decided | None = None
    """Nobody said anything: people have decided about what an earlier turn proposed."""
    explains: str = ""
    """Nobody said anything: a model answers again, and goes on with the investigation of this slice that `text` asked
    for."""


class Shelved(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph keeps, by its name; of SHELF_PUT, and the answer of SHELF_GET. As msgpack, as all of the shelf."""

    items: dict[str, bytes]


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Of SHELF_GET and SHELF_DELETE, and the answer of SHELF_LIST, whose question has one: what names begin with."""

    names: tuple[str, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An operation with its request, as the reasoner wants to know or to see planned."""

    operation: str
    request: dict[str, object]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the reasoner proposes for the person. key: of equal ones only the first makes a proposal. undoes:
    the applied proposal that it takes back."""

    operation: str
    request: dict[str, object]
    reason: str
    evidence: tuple[str, ...]
    tainted: bool
    key: str
    guard: Guard | None = None
    undoes: str = ""


class Replied(msgspec.Struct, frozen=True, kw_only=True):
    """The answer as the API would tell it, or why there is none."""

    answer: msgspec.Raw = msgspec.Raw(b"{}")
    code: str = ""
    detail: str = ""
    remedy: str = ""


class Reasoner(Protocol):
    """Events of a turn, as JSON objects. `turn` raises ReasonerAbsent. desk: set when the API is put together."""

    desk: ReasonerDesk | None

    def turn(self, turn: Turn, actor: Actor) -> AsyncIterator[bytes]: ...


class ReasonerDesk(Protocol):
    """What the reasoner may do for somebody while it answers them: know what they may know, see changes planned, and
    propose some to people."""

    async def ask(self, asked: Asked, actor: Actor) -> Replied: ...

    async def plan(self, asked: Asked, actor: Actor, conversation: str) -> Replied: ...

    async def propose(self, wanted: Wanted, actor: Actor, conversation: str) -> Replied: ...
