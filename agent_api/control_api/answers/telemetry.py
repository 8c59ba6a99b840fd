"""Answers about what happened: events, logs and traces."""

from __future__ import annotations

from typing import cast

import msgspec

from agent_api.control_api.ports import ApiParts
from runtime.operations.actor import Actor
from runtime.operations.queries.page import CursorInvalid
from runtime.operations.queries.telemetry import (
    EventListRequest,
    EventPage,
    EventRow,
    LineRequest,
    LogLines,
    TraceLines,
)
from runtime.telemetry.facts import is_fact_id


class TelemetryAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._telemetry = parts.telemetry

    async def events(self, request: EventListRequest, _actor: Actor) -> EventPage:
        """Facts behind the cursor, oldest first. Raises CursorInvalid."""
        after = request.cursor or request.after
        if after and not is_fact_id(after):
            raise CursorInvalid(f"after must be an event's id, as in 120.0, not {after!r}")
        found = self._telemetry.facts(after, request.limit)
        rows = msgspec.convert(found["events"], tuple[EventRow, ...])
        return EventPage(items=rows, next=rows[-1].id if rows else after, complete=bool(found["complete"]))

    async def logs(self, request: LineRequest, _actor: Actor) -> LogLines:
        return msgspec.convert(await self._telemetry.logs(_words(request)), LogLines)

    async def traces(self, request: LineRequest, _actor: Actor) -> TraceLines:
        return msgspec.convert(await self._telemetry.traces(_words(request)), TraceLines)


def _words(request: LineRequest) -> dict[str, str]:
    return {name: str(value) for name, value in cast(dict[str, object], msgspec.to_builtins(request)).items()}
