"""What can be asked about what happened: events, logs and traces."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, Row, read

IdField = Annotated[str, Meta(max_length=40, description="Id of an event, as in 120.0: only what came later.")]
NewestField = Annotated[int, Meta(ge=1, le=1_000, description="Most items.")]
TimeField = Annotated[int, Meta(ge=0, description="Milliseconds since 1970.")]
WordField = Annotated[str, Meta(max_length=200)]


class EventListRequest(Request, frozen=True, kw_only=True):
    """Without `cursor` and `after`, the newest."""

    cursor: IdField = ""
    after: Annotated[IdField, Meta(description="The same as `cursor`.")] = ""
    limit: NewestField = 100


class EventRow(Row, frozen=True, kw_only=True):
    id: str
    event: str
    data: dict[str, Json]


class EventPage(Page, frozen=True, kw_only=True):
    """`next` is always the newest id, to ask again with."""

    items: tuple[EventRow, ...] = msgspec.field(name="events")
    complete: Annotated[bool, Meta(description="False: events in between are gone here. Read the state anew.")] = True


class LineRequest(Request, frozen=True, kw_only=True):
    """All given conditions must hold. Newest first; go on with `until_ms`."""

    limit: NewestField = 100
    since_ms: TimeField = 0
    until_ms: TimeField = 1 << 62
    text: Annotated[WordField, Meta(description="Stands anywhere in the line.")] = ""
    level: Literal["", "debug", "info", "warning", "error"] = ""
    process: WordField = ""
    event: WordField = ""
    instance: Annotated[WordField, Meta(description="One, as orders/1, or all of a slice, as orders.")] = ""
    request_id: WordField = ""
    trace_id: WordField = ""


class LogLines(Result, frozen=True, kw_only=True):
    """`silent` are nodes that did not answer."""

    logs: tuple[dict[str, Json], ...]
    silent: tuple[str, ...]


class TraceLines(Result, frozen=True, kw_only=True):
    """Spans; `silent` are nodes that did not answer."""

    traces: tuple[dict[str, Json], ...]
    silent: tuple[str, ...]


QUERIES: Final = (
    read(
        "event.list",
        "What happened: nodes, deployments, instances, decisions.",
        EventListRequest,
        EventPage,
        "/v1/events",
        errors=("cursor_invalid",),
    ),
    read("log.list", "Log lines of all nodes, newest first.", LineRequest, LogLines, "/v1/logs"),
    read("trace.list", "Spans of all nodes, newest first.", LineRequest, TraceLines, "/v1/traces"),
)
