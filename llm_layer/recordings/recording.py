"""Writing a recording: what stands around a turn notes what passes through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from llm_layer.desk import Because, Desk, DeskRefused, Plain
from llm_layer.providers.entry import ModelEntry
from llm_layer.providers.errors import ModelsExhausted, Tried
from llm_layer.providers.messages import Ask, Reply
from llm_layer.providers.provider import Heard
from llm_layer.recordings.rows import Answered, Begun, Replied, Row, Timed, Told, model_key
from runtime.clock import Clock


class Tape:
    """The rows of one turn, as they came."""

    def __init__(self, begun: Begun) -> None:
        self.rows: list[Row] = [begun]

    def note(self, row: Row) -> None:
        self.rows.append(row)

    def note_event(self, event: object) -> None:
        self.note(Told(event=cast(dict[str, Any], msgspec.to_builtins(event))))


class NotingClock:
    """Implements Clock around another one."""

    def __init__(self, clock: Clock, tape: Tape) -> None:
        self._clock = clock
        self._tape = tape

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def unix_ms(self) -> int:
        now = self._clock.unix_ms()
        self._tape.note(Timed(unix_ms=now))
        return now


class NotingDesk:
    """Implements Desk around another one."""

    def __init__(self, desk: Desk, tape: Tape) -> None:
        self._desk = desk
        self._tape = tape

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        return await self._noted("ask", operation, request, lambda: self._desk.ask(operation, request))

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        return await self._noted("plan", operation, request, lambda: self._desk.plan(operation, request))

    async def propose(self, operation: str, request: Mapping[str, object], because: Because) -> Plain:
        return await self._noted("propose", operation, request, lambda: self._desk.propose(operation, request, because))

    async def _noted(
        self, verb: str, operation: str, request: Mapping[str, object], ask: Callable[[], Awaitable[Plain]]
    ) -> Plain:
        asked = dict(request)
        try:
            answer = await ask()
        except DeskRefused as fault:
            row = Answered(verb=verb, operation=operation, request=asked, code=fault.code, detail=str(fault))
            self._tape.note(msgspec.structs.replace(row, remedy=fault.remedy))
            raise
        self._tape.note(Answered(verb=verb, operation=operation, request=asked, answer=answer))
        return answer


class NotingModels:
    """Implements ModelEntry around another one."""

    def __init__(self, models: ModelEntry, tape: Tape) -> None:
        self._models = models
        self._tape = tape

    @property
    def present(self) -> bool:
        return self._models.present

    @property
    def has_cheap(self) -> bool:
        return self._models.has_cheap

    async def ask(self, ask: Ask, heard: Heard | None = None) -> Reply:
        reply: Reply | None = None
        tried: tuple[Tried, ...] = ()
        try:
            reply = await self._models.ask(ask, heard)
        except ModelsExhausted as fault:
            tried = fault.tried
            raise
        finally:
            row = Replied(asked=ask.messages, calling=ask.calling, key=model_key(ask), reply=reply, tried=tried)
            if reply is not None or tried:
                self._tape.note(row)
        return reply
