"""Endpoints that are no operations: health, metrics, joining, and the session of the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.changes import answer
from agent_api.control_api.decoding import body_of, words_of
from agent_api.control_api.door import caller_of
from agent_api.control_api.endpoint import BYTES, TEXT, Endpoint, NoWords, Told
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.sessions import Session, Sessions, keep
from runtime.operations.actor import Role

METRICS_MEDIA: Final = "text/plain; version=0.0.4; charset=utf-8"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    revision: int
    stale: bool


class SessionShown(msgspec.Struct, frozen=True, kw_only=True):
    """`csrf` is what changes with the cookie send as x-csrf-token; empty for a key, which needs none."""

    principal: str
    kind: str
    role: Role
    owns: tuple[str, ...]
    only: tuple[str, ...]
    csrf: str
    expires_unix_ms: Annotated[int, Meta(description="Milliseconds since 1970; 0 is never, or not known.")]


class Plain:
    """figures: of the API itself, by their Prometheus name, for the exposition."""

    def __init__(self, parts: ApiParts, sessions: Sessions, figures: Callable[[], Mapping[str, int]]) -> None:
        self._parts = parts
        self._figures = figures
        self._sessions = sessions

    def endpoints(self) -> list[Endpoint]:
        return [*self._of_node(), *self._of_session()]

    def _of_node(self) -> list[Endpoint]:
        watched = "who watches over nodes asks often and holds no key"
        return [
            Endpoint(
                name="health.live",
                summary="Whether this process answers.",
                method="GET",
                path="/health/live",
                handle=self._live,
                role=None,
                open_because=watched,
                answers=(Told(status=200, says="It does.", model=Health),),
            ),
            Endpoint(
                name="health.ready",
                summary="Whether the state is known here and the gateway takes tables.",
                method="GET",
                path="/health/ready",
                handle=self._ready,
                role=None,
                open_because=watched,
                answers=(
                    Told(status=200, says="It is.", model=Health),
                    Told(status=503, says="Not yet.", model=Health),
                ),
            ),
            Endpoint(
                name="metrics",
                summary="This node's figures, for Prometheus.",
                method="GET",
                path="/metrics",
                handle=self._metrics,
                answers=(Told(status=200, says="Exposition format.", media=(TEXT,)),),
            ),
            Endpoint(
                name="node.join",
                summary="Let a node join; for `aether node start --join`.",
                method="POST",
                path="/v1/join",
                handle=self._join,
                role=None,
                open_because="the request proves itself by the join token's MAC",
                takes=(BYTES,),
                answers=(Told(status=200, says="The signed certificate and the cluster.", media=(BYTES,)),),
                errors=("join_refused", "body_too_large", "no_authority", "signing_request_invalid", "request_invalid"),
            ),
        ]

    def _of_session(self) -> list[Endpoint]:
        told = Told(status=200, says="Who is asking.", model=SessionShown)
        return [
            Endpoint(
                name="session.show",
                summary="Who the request comes from.",
                method="GET",
                path="/v1/session",
                handle=self._who,
                subjectless=True,
                answers=(told,),
            ),
            Endpoint(
                name="session.begin",
                summary="Begin a session of the console: a cookie for the key that is sent.",
                method="POST",
                path="/v1/session",
                handle=self._begin,
                subjectless=True,
                answers=(Told(status=201, says="Begun.", model=SessionShown, headers=("Set-Cookie",)),),
            ),
            Endpoint(
                name="session.end",
                summary="End the session, at every node.",
                method="DELETE",
                path="/v1/session",
                handle=self._end,
                subjectless=True,
                answers=(Told(status=204, says="Ended.", media=(), headers=("Set-Cookie",)),),
            ),
        ]

    async def _live(self, _request: Request) -> Response:
        return answer(self._health("ok"))

    async def _ready(self, _request: Request) -> Response:
        ready = self._parts.view.cache.revision > 0 and self._parts.gateway_up()
        return answer(self._health("ready" if ready else "starting"), status=200 if ready else 503)

    def _health(self, status: str) -> Health:
        cache = self._parts.view.cache
        return Health(status=status, revision=int(cache.revision), stale=cache.stale or not self._parts.leader())

    async def _metrics(self, _request: Request) -> Response:
        own = "".join(f"# TYPE {name} {_kind(name)}\n{name} {value}\n" for name, value in self._figures().items())
        return Response(self._parts.telemetry.exposition() + own.encode(), media_type=METRICS_MEDIA)

    async def _join(self, request: Request) -> Response:
        return Response(await self._parts.join(await body_of(request)), media_type=BYTES)

    async def _who(self, request: Request) -> Response:
        words_of(request, NoWords)
        return answer(self._shown(request, caller_of(request).session))

    async def _begin(self, request: Request) -> Response:
        words_of(request, NoWords)
        caller = caller_of(request)
        if caller.session is not None:
            return answer(self._shown(request, caller.session), status=201)
        cookie, session = await self._sessions.begin(
            caller.actor,
            key=caller.key_sha256,
            subject=caller.subject,
            now_unix_ms=self._parts.clock.unix_ms(),
            ends_unix_ms=caller.expires_unix_ms,
        )
        response = answer(self._shown(request, session), status=201)
        age_s = (session.expires_unix_ms - self._parts.clock.unix_ms()) // 1_000
        keep(response, cookie, age_s, secure=request.url.scheme == "https")
        return response

    async def _end(self, request: Request) -> Response:
        """The cookie is of no use any more, wherever a copy of it may be."""
        session = caller_of(request).session
        if session is not None:
            await self._parts.view.cache.wait_for(await self._sessions.end(session))
        response = Response(status_code=204)
        keep(response, "", 0, secure=request.url.scheme == "https")
        return response

    def _shown(self, request: Request, session: Session | None) -> SessionShown:
        caller = caller_of(request)
        return SessionShown(
            principal=caller.actor.id,
            kind=caller.actor.kind,
            role=caller.actor.role,
            owns=caller.actor.owns,
            only=caller.actor.reads_only,
            csrf=self._sessions.csrf_of(session) if session is not None else "",
            expires_unix_ms=session.expires_unix_ms if session is not None else caller.expires_unix_ms,
        )


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"
