"""Changes as HTTP: one route for each change of the catalogue, all through the dispatcher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault, BodyTooLarge, Declined, problem
from runtime.names import Sha256
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Applied, Outcome, Planned, Proposed, Refused, Submission
from runtime.operations.operation import AnyChange

BODY_BYTES_MAX: Final = 256 * 1024
TOML: Final = "application/toml"

Handler = Callable[[Request], Awaitable[Response]]


class Changes:
    """Submits what requests ask for, as the actor that they were found to come from."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self, authorized: Callable[[Handler], Handler]) -> list[Route]:
        """One for each change of the catalogue."""
        return [
            Route(each.route.path, authorized(self._handler(each)), methods=[each.route.method])
            for each in self._parts.catalogue.changes()
        ]

    def _handler(self, operation: AnyChange) -> Handler:
        async def handle(request: Request) -> Response:
            members = await _members(operation, request)
            words = request.query_params
            outcome = await self._parts.dispatcher.submit(
                Submission(
                    operation=operation.name,
                    request=members,
                    actor=actor_of(request),
                    reason=words.get("reason", ""),
                    idempotency_key=request.headers.get("idempotency-key", ""),
                    dry_run=words.get("dry_run") == "true",
                    propose=words.get("propose") == "true",
                    break_glass=words.get("break_glass") == "true",
                )
            )
            return told(outcome)

        return handle

    async def upload(self, request: Request) -> Response:
        expected = request.query_params.get("sha256")
        try:
            record = await self._parts.shelf.take(
                request.stream(), expected=Sha256(expected) if expected is not None else None
            )
        except ClientDisconnect as error:
            raise ApiFault("the upload ended early; nothing was kept") from error
        return answer(
            {
                "name": record.name,
                "version": record.version,
                "sha256": record.sha256,
                "slices": [f"{contract.name} {contract.version}" for contract in record.slices],
            },
            status=201,
        )

    async def drop_artifact(self, request: Request) -> Response:
        record = await self._parts.shelf.drop(request.path_params["name"], request.path_params["version"])
        return answer({"name": record.name, "version": record.version, "deleted": True})

    async def join(self, request: Request) -> Response:
        reply = await self._parts.join(await body_of(request, BODY_BYTES_MAX))
        return Response(reply, media_type="application/octet-stream")


def actor_of(request: Request) -> Actor:
    """Who the request was found to come from."""
    found = request.state.actor
    assert isinstance(found, Actor)
    return found


def told(outcome: Outcome) -> Response:
    """Applied and planned are 200, proposed is 202 with the proposal's address, refused is a problem."""
    if isinstance(outcome, Refused):
        return problem(Declined(outcome))
    body = msgspec.to_builtins(outcome)
    if isinstance(outcome, Applied):
        return answer({**outcome.result, **body, "outcome": "applied"})
    if isinstance(outcome, Planned):
        return answer({**body["plan"], "outcome": "planned"})
    assert isinstance(outcome, Proposed)
    response = answer({**body, "outcome": "proposed"}, status=202)
    response.headers["location"] = f"/v1/proposals/{outcome.proposal}"
    return response


async def _members(operation: AnyChange, request: Request) -> dict[str, object]:
    """The request's members: of the path, and of the body (JSON, or a blueprint's TOML)."""
    raw = await body_of(request, BODY_BYTES_MAX)
    members: dict[str, object] = {}
    if raw and request.headers.get("content-type", "").startswith(TOML):
        members["source"] = _text(raw)
    elif raw.strip():
        try:
            members |= msgspec.json.decode(raw, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise ApiFault(f"{operation.name} takes a JSON object: {error}") from error
    path = {name: _typed(operation, name, value) for name, value in request.path_params.items()}
    return members | path


def _typed(operation: AnyChange, name: str, value: str) -> object:
    """A path's text as the number that the request wants there, if it is one."""
    kind = next(field.type for field in msgspec.structs.fields(operation.request) if field.encode_name == name)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return value  # refused with the whole request


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ApiFault(f"line {line}: the text is not UTF-8") from error


async def body_of(request: Request, most: int) -> bytes:
    """Raises BodyTooLarge without reading more than it may."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise BodyTooLarge(f"the body has more than {most} bytes")
        parts.append(chunk)
    return b"".join(parts)


def answer(body: dict[str, object], *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
