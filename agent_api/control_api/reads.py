"""Questions as HTTP: one route for each query of the catalogue, answered by any node and marked with the revision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from agent_api.control_api.answers import Answer, answers
from agent_api.control_api.changes import BODY_BYTES_MAX, Handler, actor_of, body_of
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault, Declined
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Refused
from runtime.operations.operation import AnyQuery
from runtime.telemetry.facts import is_fact_id

OPEN: Final = frozenset(  # to everybody who reaches the API
    {
        "cluster.status",
        "node.list",
        "slice.list",
        "instance.list",
        "route.list",
        "event.list",
        "blueprint.list",
        "artifact.list",
        "metric.show",
        "log.list",
        "trace.list",
    }
)
ANYBODY: Final = Actor(kind=ActorKind.AUTOMATION, id="anybody", role=Role.VIEWER)


class Reads:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._view = parts.view

    def routes(self, authorized: Callable[[Handler], Handler]) -> list[Route]:
        """One for each query of the catalogue."""
        known = answers(self._parts)
        found = []
        for query in sorted(self._parts.catalogue.queries(), key=lambda each: "{" in each.route.path):
            handler = self._handler(query, known[query.name])
            handler = handler if query.name in OPEN else authorized(handler)
            found.append(Route(query.route.path, handler, methods=[query.route.method]))
        return found

    def _handler(self, query: AnyQuery, answer: Answer) -> Handler:
        async def handle(request: Request) -> Response:
            if query.name == "event.list" and "text/event-stream" in request.headers.get("accept", ""):
                return self._events(request)
            actor = ANYBODY if query.name in OPEN else actor_of(request)
            if not actor.may(query.role):
                raise Declined(Refused(code="refused_by_policy", detail=f"{query.name} needs the role {query.role}"))
            return self._answer(await answer(await _request_of(query, request), actor))

        return handle

    def _events(self, request: Request) -> Response:
        after = request.query_params.get("after", request.headers.get("last-event-id", ""))
        if after and not is_fact_id(after):
            raise ApiFault(f"after must be an event's id, as in 120.0, not {after[:80]!r}")
        return StreamingResponse(self._event_stream(after), media_type="text/event-stream")

    async def _event_stream(self, after: str) -> AsyncIterator[bytes]:
        async for fact in self._parts.telemetry.follow_facts(after):
            yield f"id: {fact['id']}\nevent: {fact['event']}\ndata: ".encode() + msgspec.json.encode(fact) + b"\n\n"

    async def metrics(self, _request: Request) -> Response:
        return Response(self._parts.telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def live(self, _request: Request) -> Response:
        return self._answer({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Ready once the state is known here and the gateway takes tables."""
        ready = self._view.cache.revision > 0 and self._parts.gateway_up()
        return self._answer({"status": "ready" if ready else "starting"}, status=200 if ready else 503)

    def _answer(self, body: object, *, status: int = 200) -> Response:
        cache = self._view.cache
        standing = {"revision": int(cache.revision), "stale": cache.stale or not self._parts.leader()}
        members = msgspec.json.encode(body)
        joined = msgspec.json.encode(standing)[:-1] + (b"," + members[1:] if members != b"{}" else b"}")
        return Response(joined, status, media_type="application/json")


async def _request_of(query: AnyQuery, request: Request) -> object:
    """Of the path, the query's words, and of a POST's JSON body. Raises ApiFault naming what is wrong."""
    raw = await body_of(request, BODY_BYTES_MAX) if query.route.method == "POST" else b""
    try:
        if raw:
            return msgspec.json.decode(raw, type=query.request)
        return msgspec.convert({**request.query_params, **request.path_params}, query.request, strict=False)
    except msgspec.DecodeError as error:
        raise ApiFault(f"{query.name}: {error}") from error
