"""POST /v1/chat: a sentence in, events out. What answers is another process; this one only passes them on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from fastapi import Request, Response

from agent_api.control_api.changes import answer
from agent_api.control_api.decoding import body_of, converted, json_object, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import EVENTS, JSON, Endpoint, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.streams import EventStream, Seats
from agent_api.control_api.turns import Turn
from controllers.conversations.telling import PASSING
from runtime.errors import RuntimeFault
from runtime.operations.plan import Json

TURNS_MAX: Final = 32  # that are answered at once by a node: each holds a place in the reasoner


class _Tagged(msgspec.Struct, frozen=True):
    type: str


class TurnAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The turn's events, in their order; each is an object with its `type`."""

    events: tuple[dict[str, Json], ...]


class Chatting:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._seats = Seats(TURNS_MAX)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                name="chat.turn",
                summary="Say something, and be answered; nothing is changed by it.",
                method="POST",
                path="/v1/chat",
                handle=self._turn,
                body=Turn,
                answers=(
                    Told(
                        status=200,
                        says="What is answered; event by event where the client accepts server-sent events.",
                        model=TurnAnswered,
                        media=(JSON, EVENTS),
                    ),
                ),
                errors=(
                    "reasoner_absent",
                    "conversation_not_found",
                    "conversation_busy",
                    "conversation_full",
                    "quota_exceeded",
                    "too_many_streams",
                    "body_too_large",
                ),
            )
        ]

    async def _turn(self, request: Request) -> Response:
        words_of(request, NoWords)
        turn = converted(json_object(await body_of(request)), Turn)
        leave = self._seats.take()
        try:
            events = self._parts.reasoner.turn(turn, caller_of(request).actor)
            first = await anext(events, b"")  # absence is a problem, not a stream that ends at once
        except BaseException:
            leave()
            raise
        if EVENTS in request.headers.get("accept", ""):
            return EventStream(_framed(first, events), leave)
        try:
            raw = [first, *[each async for each in events]]
        finally:
            leave()
        told = [msgspec.json.decode(each, type=dict[str, Json]) for each in raw if each]
        return answer(TurnAnswered(events=tuple(each for each in told if each["type"] not in PASSING)))


async def _framed(first: bytes, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What breaks on the way is the last event: the head of the answer has gone."""
    if first:
        yield _frame(first)
    try:
        async for each in events:
            yield _frame(each)
    except RuntimeFault as fault:
        yield _frame(msgspec.json.encode({"type": "failed", **fault.problem()}))


def _frame(raw: bytes) -> bytes:
    kind = msgspec.json.decode(raw, type=_Tagged).type
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), raw)
