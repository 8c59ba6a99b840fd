"""A recording through the same graphs: no network, no cluster, no model, and every answer in the order in which it came
then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import anyio
import msgspec
from langgraph.checkpoint.memory import InMemorySaver

from controllers.conversations.remedies import RunOf
from llm_layer.chat.events import Event
from llm_layer.chat.rules import Fit
from llm_layer.chat.talk import Talk
from llm_layer.chat.turn import Turns
from llm_layer.desk import Because, DeskRefused, Plain
from llm_layer.errors import LlmFault
from llm_layer.providers.errors import ModelsExhausted
from llm_layer.providers.messages import Ask, Reply
from llm_layer.providers.provider import Heard
from llm_layer.recordings.rows import Answered, Begun, Replied, Row, Timed, Told, key_of, model_key
from runtime.operations.catalogue import Catalogue
from runtime.security.redaction import redacted_tree

NEVER_S: Final = 3_600.0  # what rules tell while a model is slow depends on the time it took
TURN_S: Final = 30.0  # nothing is waited for but what the turn itself asks next
T = TypeVar("T", Answered, Replied)


class ReplayDiffers(LlmFault):
    """The turn asks for something that it did not ask for then."""

    code = "replay_differs"
    remedy = "Graphs, prompts' data or operations have changed since. Record the conversation anew to keep it."


class TurnReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """`differs` says what came otherwise than it was recorded; empty where all came again."""

    number: int
    text: str
    models_asked: int
    cluster_asked: int
    events: int
    differs: tuple[str, ...] = ()


class _Played:
    """Hands out what was answered, in the order in which it came: who asks too early waits for the others."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._left = [each for each in rows if isinstance(each, Answered | Replied)]
        self._times = [each.unix_ms for each in rows if isinstance(each, Timed)]
        self._moved = anyio.Event()

    @property
    def left(self) -> list[str]:
        return [_named(each) for each in self._left]

    async def take(self, kind: type[T], key: str, what: str) -> T:
        """Raises ReplayDiffers."""
        row = next((each for each in self._left if isinstance(each, kind) and each.key == key), None)
        if row is None:
            raise ReplayDiffers(f"it asks {what}, which was not asked then")
        while self._left[0] is not row:
            await self._moved.wait()
        self._left.pop(0)
        self._moved.set()
        self._moved = anyio.Event()
        return row

    # implements Clock

    def monotonic_s(self) -> float:
        return 0.0

    def unix_ms(self) -> int:
        if not self._times:
            raise ReplayDiffers("it reads the time once more than then")
        return self._times.pop(0)


def _named(row: Answered | Replied) -> str:
    return f"{row.verb} {row.operation}" if isinstance(row, Answered) else "a model"


class _Desk:
    """Implements Desk."""

    def __init__(self, played: _Played) -> None:
        self._played = played

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        return await self._answer("ask", operation, request)

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        return await self._answer("plan", operation, request)

    async def propose(self, operation: str, request: Mapping[str, object], because: Because) -> Plain:
        return await self._answer("propose", operation, request)

    async def _answer(self, verb: str, operation: str, request: Mapping[str, object]) -> Plain:
        asked = redacted_tree(msgspec.to_builtins(dict(request)))
        row = await self._played.take(Answered, key_of(verb, operation, asked), f"{verb} {operation}")
        if row.code:
            raise DeskRefused(row.code, row.detail, row.remedy)
        return row.answer


class _Models:
    """Implements ModelEntry."""

    present = True

    def __init__(self, played: _Played, *, has_cheap: bool) -> None:
        self._played = played
        self.has_cheap = has_cheap

    async def ask(self, ask: Ask, heard: Heard | None = None) -> Reply:
        row = await self._played.take(Replied, model_key(ask), "a model something")
        if row.reply is None:
            raise ModelsExhausted(row.tried)
        return row.reply


async def replay(rows: Sequence[Row], *, fit: Fit, catalogue: Catalogue) -> list[TurnReplayed]:
    """Every turn of the recording, one after the other, in one conversation."""
    saver = InMemorySaver()
    return [await _replayed(turn, saver, fit, catalogue) for turn in turns_of(rows)]


def turns_of(rows: Sequence[Row]) -> list[list[Row]]:
    found: list[list[Row]] = []
    for row in rows:
        if isinstance(row, Begun):
            found.append([])
        found[-1].append(row)
    return found


async def _replayed(rows: Sequence[Row], saver: InMemorySaver, fit: Fit, catalogue: Catalogue) -> TurnReplayed:
    begun = cast(Begun, rows[0])
    played = _Played(rows)
    turns = Turns(fit=fit, catalogue=catalogue, clock=played)
    talk = Talk(
        run=RunOf(begun.conversation, begun.number),
        models=_Models(played, has_cheap=begun.has_cheap),
        tainted=begun.tainted,
        keeper=lambda: saver,
        slow_s=NEVER_S,
    )
    desk = _Desk(played)
    events = (
        turns.go_on(begun.proposal, begun.ended, desk, talk)
        if begun.proposal
        else turns.answer(begun.text, desk, talk, explains=begun.explains)
    )
    told: list[Event] = []
    differs: list[str] = []
    try:
        with anyio.fail_after(TURN_S):
            told = [each async for each in events]
    except TimeoutError:
        differs.append(f"it waits for what it did not ask for: {', '.join(played.left[:3])}")
    differs += _compared(rows, told)
    if played.left and not differs:
        differs.append(f"it did not ask again: {', '.join(played.left[:3])}")
    return TurnReplayed(
        number=begun.number,
        text=begun.text,
        models_asked=sum(isinstance(each, Replied) for each in rows),
        cluster_asked=sum(isinstance(each, Answered) for each in rows),
        events=len(told),
        differs=tuple(differs),
    )


def _compared(rows: Sequence[Row], told: Sequence[Event]) -> list[str]:
    then = [_lasting(each.event) for each in rows if isinstance(each, Told)]
    now = [_lasting(cast(dict[str, Any], redacted_tree(msgspec.to_builtins(each)))) for each in told]
    for number, (one, other) in enumerate(zip(then, now, strict=False), 1):
        if one != other:
            return [f"event {number} was {_short(one)} and is {_short(other)}"]
    return [] if len(then) == len(now) else [f"it told {len(then)} events then and {len(now)} now"]


def _lasting(event: dict[str, Any]) -> object:
    """Without how long it took; as JSON has it, where lists are lists."""
    return msgspec.json.decode(msgspec.json.encode({name: each for name, each in event.items() if name != "taken_ms"}))


def _short(event: object) -> str:
    return msgspec.json.encode(event).decode()[:200]
