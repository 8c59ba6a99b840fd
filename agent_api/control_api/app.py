"""The application: routes, who may call them, and how errors are answered."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent_api.control_api.changes import Changes, Handler
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault, NotFound, Unauthorized, handle_fault, problem
from agent_api.control_api.reads import Reads
from runtime.consensus.errors import StoreUnavailable
from runtime.errors import RuntimeFault
from runtime.security.principals import bootstrap_admin
from runtime.state import keys
from runtime.state.values import ClusterRecord, decode


def make_app(parts: ApiParts) -> Starlette:
    reads, changes = Reads(parts), Changes(parts)

    def authorized(handler: Handler) -> Handler:
        return _authorized(parts, handler)

    routes = [
        Route("/health/live", reads.live),
        Route("/health/ready", reads.ready),
        Route("/metrics", reads.metrics),
        Route("/v1/join", changes.join, methods=["POST"]),  # it authenticates by the join token
        Route("/v1/artifacts", authorized(changes.upload), methods=["POST"]),
        Route("/v1/artifacts/{name}/{version}", authorized(changes.drop_artifact), methods=["DELETE"]),
        *reads.routes(authorized),
        *changes.routes(authorized),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={RuntimeFault: handle_fault, HTTPException: _http_error, Exception: _unforeseen(parts)},
    )


def _authorized(parts: ApiParts, handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        item = parts.view.cache.get(keys.CLUSTER)
        if item is None:
            raise StoreUnavailable("this node does not know the cluster's record yet")
        expected = decode(item.value, ClusterRecord).admin_key_sha256
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).hexdigest()
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, expected):
            raise Unauthorized("this needs the cluster's admin key")
        request.state.actor = bootstrap_admin()
        return await handler(request)

    return handle


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(NotFound(f"there is no {request.method} {request.url.path} here"))
    fault = ApiFault(error.detail)
    response = problem(fault)
    response.status_code = error.status_code
    return response


def _unforeseen(parts: ApiParts) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        parts.log.warning("request_failed", path=request.url.path, error=repr(error))
        document = {"type": "urn:aether:problem:internal", "title": "internal", "status": 500, "code": "internal"}
        return Response(msgspec.json.encode(document), 500, media_type="application/problem+json")

    return handle
