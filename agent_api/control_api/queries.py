"""Questions as HTTP: one endpoint for each query of the catalogue, answered by this node from what it knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import Request, Response

from agent_api.control_api.answers import Answer
from agent_api.control_api.changes import ERRORS
from agent_api.control_api.conditional import etag_of, is_known, wait_of
from agent_api.control_api.decoding import body_of, converted, json_object, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import EVENTS, JSON, Answered, Endpoint, Handler, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.streams import place_of
from controllers.gate.proposals import read_proposal
from runtime.consensus.cache import StoreCache
from runtime.operations.operation import AnyQuery
from runtime.operations.operation import Request as OperationRequest
from runtime.state import keys

OF_STATE: Final = frozenset(
    {
        "node.list",
        "slice.list",
        "slice.show",
        "instance.list",
        "route.list",
        "blueprint.list",
        "blueprint.show",
        "artifact.list",
        "topology.show",
        "proposal.list",
        "proposal.show",
        "proposal.diff",
        "policy.show",
        "freeze.list",
        "incident.list",
        "phrase.list",
        "principal.list",
        "key.list",
    }
)
"""Whose answers follow from the cached state alone: its revision is their ETag."""


Wait = Callable[[Any, float], Awaitable[None]]
"""Of the query's request, for so many seconds at most."""

OF_A_PROPOSAL: Final = frozenset({"proposal.show", "proposal.diff"})
OF_SOFTWARE: Final = frozenset({"operation.list", "operation.show"})
"""Which tell what can be done at all, and nothing of the cluster."""
KEPT_MAX: Final = 16  # answers
KEPT_BYTES_MAX: Final = 256 * 1024  # of one: 4 MiB in all
EXPLAIN: Final = "gate.explain"


class _Kept:
    """The newest answers of those that follow from the state alone, for as long as nothing of it changes. Who asks
    makes no difference to them: the door has been passed."""

    def __init__(self, cache: StoreCache) -> None:
        self._cache = cache
        self._bodies: dict[tuple[str, OperationRequest], bytes] = {}
        self._as_of = (0, False)

    def find(self, name: str, asked: OperationRequest) -> bytes | None:
        if name not in OF_STATE:
            return None
        now = (int(self._cache.changed_at), self._cache.stale)
        if now != self._as_of:
            self._as_of = now
            self._bodies.clear()
        return self._bodies.get((name, asked))

    def keep(self, name: str, asked: OperationRequest, body: bytes) -> None:
        if name not in OF_STATE or len(body) > KEPT_BYTES_MAX:
            return
        if self._as_of != (int(self._cache.changed_at), self._cache.stale):
            return  # it changed while the answer was made
        if len(self._bodies) >= KEPT_MAX:
            self._bodies.pop(next(iter(self._bodies)))
        self._bodies[name, asked] = body


class Queries:
    """streams: of queries that can also be followed, where the client accepts server-sent events. waits: of those that
    a client may wait on (Prefer: wait) until there is more to tell."""

    def __init__(
        self,
        parts: ApiParts,
        answers: Mapping[str, Answer],
        *,
        streams: Mapping[str, Handler] | None = None,
        waits: Mapping[str, Wait] | None = None,
    ) -> None:
        self._parts = parts
        self._answers = answers
        self._streams = streams or {}
        self._waits = waits or {}
        self._kept = _Kept(parts.view.cache)

    def endpoints(self) -> list[Endpoint]:
        return [self._endpoint(each, self._answers[each.name]) for each in self._parts.catalogue.queries()]

    def _endpoint(self, query: AnyQuery, ask: Answer) -> Endpoint:
        posted = query.route.method == "POST"
        stream, wait = self._streams.get(query.name), self._waits.get(query.name)

        async def handle(request: Request) -> Response:
            if stream is not None:
                place_of(request.headers.get("last-event-id", ""))
                if EVENTS in request.headers.get("accept", ""):
                    return await stream(request)
            if posted:
                words_of(request, NoWords)
                asked = converted(json_object(await body_of(request)) | request.path_params, query.request)
            else:
                asked = words_of(request, query.request, request.path_params)
            if wait is not None and (wait_s := wait_of(request)) is not None:
                await wait(asked, wait_s)
            etag = self._etag(query)
            known = bool(etag) and is_known(request, etag)
            if known and not request.path_params:
                return _unchanged(etag)
            body = self._kept.find(query.name, asked)
            if body is None:
                body = msgspec.json.encode(await ask(asked, caller_of(request).actor))
                self._kept.keep(query.name, asked, body)
            return _unchanged(etag) if known else self._told(body, etag)  # what the path names is there

        of_state = query.name in OF_STATE
        told = Told(
            status=200,
            says="The answer; as server-sent events where the client accepts these." if stream else "The answer.",
            model=Answered(query.result),
            media=(JSON, EVENTS) if stream else (JSON,),
            headers=("ETag",) if of_state else (),
        )
        heeded = (
            *(("If-None-Match",) if of_state else ()),
            *(("Last-Event-ID",) if stream else ()),
            *(("Prefer",) if wait else ()),
        )
        return Endpoint(
            name=query.name,
            summary=query.summary,
            method=query.route.method,
            path=query.route.path,
            handle=handle,
            role=query.role,
            subject=self._subject_of_proposal if query.name in OF_A_PROPOSAL else None,
            subjectless=query.name in OF_SOFTWARE,
            words=NoWords if posted else query.request,
            body=query.request if posted else None,
            headers=heeded,
            answers=(told, Told(status=304, says="As it was.", media=())) if of_state else (told,),
            errors=(*query.errors, *self._more_errors(query.name), *(("body_too_large",) if posted else ())),
        )

    def _subject_of_proposal(self, request: Request) -> str:
        """So that who may vote on it may see it. Empty where there is none."""
        item = self._parts.view.cache.get(keys.proposal(request.path_params["id"]))
        proposal = read_proposal(item.value) if item is not None else None
        return proposal.subject if proposal is not None else ""

    def _more_errors(self, name: str) -> tuple[str, ...]:
        """What explaining a change finds wrong is what making it would."""
        if name != EXPLAIN:
            return ("too_many_streams",) if name in self._streams else ()
        of_changes = {code for each in self._parts.catalogue.changes() for code in each.errors}
        return (*sorted(of_changes), *ERRORS, "not_found")

    def _etag(self, query: AnyQuery) -> str:
        """Empty while the state may be old: what is read then must not be taken for current later."""
        cache = self._parts.view.cache
        return "" if cache.stale or query.name not in OF_STATE else etag_of(int(cache.revision))

    def _told(self, body: bytes, etag: str) -> Response:
        """The result's members, between which revision they are as of, and whether that may be old."""
        cache = self._parts.view.cache
        stale = cache.stale or not self._parts.leader()
        head = b'{"revision":%d,"stale":%b' % (cache.revision, b"true" if stale else b"false")
        raw = head + (b"," + body[1:] if len(body) > 2 else b"}")
        return Response(raw, headers={"etag": etag} if etag else None, media_type=JSON)


def _unchanged(etag: str) -> Response:
    return Response(status_code=304, headers={"etag": etag})
