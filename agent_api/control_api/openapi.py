"""The OpenAPI 3.1 document, made from the endpoints at first demand, in a thread, and kept as bytes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import anyio.to_thread
import msgspec
from anyio import Lock
from fastapi import Request, Response
from msgspec import Meta

from agent_api.control_api.conditional import IF_MATCH_PATTERN
from agent_api.control_api.endpoint import BYTES, JSON, TOML, Answered, Endpoint, Told
from agent_api.control_api.problems import RETRYABLE_CODES, status_of_code
from controllers.gate.idempotency import KEY_CHARS_MAX
from runtime.telemetry.facts import ID_PATTERN

PROBLEM: Final = "application/problem+json"
REF: Final = "#/components/schemas/{name}"
_IN_PATH: Final = re.compile(r"{(\w+)(?::path)?}")
_ALWAYS: Final = ("bad_request", "request_invalid", "internal")
_OF_GUARDED: Final = (
    "unauthorized",
    "key_expired",
    "forbidden",
    "csrf_missing",
    "locked_out",
    "too_many_requests",
    "answer_unreadable",
    *RETRYABLE_CODES,
)
HEADERS: Final[dict[str, tuple[dict[str, object], str]]] = {
    "Idempotency-Key": (
        {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX},
        "The same key with the same request within a day gets the first answer again; once a proposal is applied,"
        " what it came to.",
    ),
    "If-Match": (
        {"type": "string", "pattern": IF_MATCH_PATTERN},
        "Only if the subject has not changed since.",
    ),
    "If-None-Match": ({"type": "string"}, "304 if the answer would be the same."),
    "Prefer": (  # what is not understood is ignored: RFC 7240
        {"type": "string", "examples": ["wait=30"]},
        "wait=N: seconds to wait until the change has taken hold.",
    ),
    "Last-Event-ID": (
        {"type": "string", "pattern": f"^({ID_PATTERN})?$"},
        "Go on behind that event, at any node; an empty one is none.",
    ),
}
_ANSWERED: Final = {
    "ETag": "The revision; for If-None-Match and If-Match.",
    "Location": "Where the proposal is, or where to go on.",
    "Set-Cookie": "The session.",
}

Document = dict[str, Any]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. `code` is stable; `retryable` says whether the same request may succeed later."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    retryable: bool
    remedy: str
    instance: Annotated[str, Meta(description="The request's id, as its x-request-id.")] = ""


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """Which state an answer is made from."""

    revision: Annotated[int, Meta(ge=0, description="Of the state that this was read from.")]
    stale: Annotated[bool, Meta(description="No leader is known: the state may be old.")]


class Described:
    """Serves the document; the first request for it pays."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = (*endpoints, self.endpoint())
        self._raw = b""
        self._making = Lock()

    def endpoint(self) -> Endpoint:
        return Endpoint(
            name="openapi",
            summary="This document.",
            method="GET",
            path="/v1/openapi.json",
            handle=self._serve,
            role=None,
            open_because="it tells what the software can do, and nothing of this cluster",
            answers=(Told(status=200, says="OpenAPI 3.1."),),
        )

    async def _serve(self, _request: Request) -> Response:
        async with self._making:
            if not self._raw:
                self._raw = await anyio.to_thread.run_sync(lambda: msgspec.json.encode(document(self._endpoints)))
        return Response(self._raw, media_type=JSON)


def document(endpoints: Sequence[Endpoint]) -> Document:
    """Pure. Paths in the order of the endpoints, schemas by msgspec."""
    kinds = _kinds(endpoints)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    by_kind = dict(zip(map(id, kinds), schemas, strict=True))
    paths: dict[str, Document] = defaultdict(dict)
    for each in endpoints:
        paths[_IN_PATH.sub(r"{\1}", each.path)][each.method.lower()] = _operation(each, by_kind, components)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Aether control API",
            "version": "1",
            "description": "Any node answers. Reads are of that node's picture of the state, and say as of which "
            "revision; changes go to the leader, past the gate.",
        },
        "security": [{"key": []}, {"session": []}],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the provider."},
                "session": {"type": "apiKey", "in": "cookie", "name": "aether_session"},
            },
        },
    }


def _kinds(endpoints: Iterable[Endpoint]) -> list[Any]:
    found: dict[int, Any] = {id(kind): kind for kind in (Problem, AsOf)}
    for each in endpoints:
        models = [model for told in each.answers for model in (told.model, told.result) if model is not None]
        for model in (each.words, each.body, *models):
            kind = model.result if isinstance(model, Answered) else model
            if kind is not None:
                found[id(kind)] = kind
    return list(found.values())


def _operation(endpoint: Endpoint, by_kind: dict[int, Document], components: Document) -> Document:
    found: Document = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.name.partition(".")[0]],
        "parameters": _parameters(endpoint, by_kind, components),
        "responses": {**_answers(endpoint, by_kind), **_problems(endpoint)},
    }
    body = _body(endpoint, by_kind, components)
    if body is not None:
        found["requestBody"] = body
    if endpoint.role is None:
        found["security"] = []
    else:
        found["x-role"] = str(endpoint.role)
    return found


def _parameters(endpoint: Endpoint, by_kind: dict[int, Document], components: Document) -> list[Document]:
    members = _resolved(by_kind[id(endpoint.words)], components)
    of_body = _resolved(by_kind[id(endpoint.body)], components) if endpoint.body is not None else {}
    names = _IN_PATH.findall(endpoint.path)
    known = {**of_body.get("properties", {}), **members.get("properties", {})}
    found = [{"name": name, "in": "path", "required": True, "schema": _path_schema(known.get(name))} for name in names]
    for name, schema in members.get("properties", {}).items():
        if name not in names:
            required = name in members.get("required", ())
            found.append({"name": name, "in": "query", "required": required, "schema": schema})
    for header in endpoint.headers:
        schema, says = HEADERS[header]
        found.append({"name": header, "in": "header", "required": False, "schema": schema, "description": says})
    return found


def _path_schema(schema: Document | None) -> Document:
    """Of a segment: never empty, and without a default."""
    found = {name: value for name, value in (schema or {"type": "string"}).items() if name != "default"}
    return {"minLength": 1, **found} if found.get("type") == "string" else found


def _body(endpoint: Endpoint, by_kind: dict[int, Document], components: Document) -> Document | None:
    content: Document = {}
    required = False
    if endpoint.body is not None:
        schema = _without(_resolved(by_kind[id(endpoint.body)], components), _IN_PATH.findall(endpoint.path))
        required = bool(schema.get("required"))
        if schema.get("properties"):
            content[JSON] = {"schema": schema}
    if TOML in endpoint.takes:
        content[TOML] = {"schema": {"type": "string"}}
    if BYTES in endpoint.takes:
        content[BYTES] = {"schema": {"type": "string", "format": "binary"}}
    return {"required": required, "content": content} if content else None


def _without(schema: Document, names: Sequence[str]) -> Document:
    """An object without the members that the path names."""
    properties = {name: kind for name, kind in schema.get("properties", {}).items() if name not in names}
    required = [name for name in schema.get("required", ()) if name not in names]
    kept = {name: value for name, value in schema.items() if name not in ("properties", "required", "title")}
    return {**kept, "properties": properties, "required": required}


def _answers(endpoint: Endpoint, by_kind: dict[int, Document]) -> Document:
    found: Document = {}
    for told in endpoint.answers:
        response: Document = {"description": told.says}
        if told.media:
            response["content"] = {media: _content(told, media, by_kind) for media in told.media}
        if told.headers:
            response["headers"] = {
                name: {"description": _ANSWERED[name], "schema": {"type": "string"}} for name in told.headers
            }
        found[str(told.status)] = response
    return found


def _content(told: Told, media: str, by_kind: dict[int, Document]) -> Document:
    if media != JSON:
        return {"schema": {"type": "string"}}
    if told.model is None:
        return {"schema": {"type": "object"}}
    if isinstance(told.model, Answered):
        return {"schema": {"allOf": [by_kind[id(AsOf)], by_kind[id(told.model.result)]]}}
    schema = by_kind[id(told.model)]
    if told.result is None:
        return {"schema": schema}
    result = {"type": "object", "properties": {"result": by_kind[id(told.result)]}}
    return {"schema": {"allOf": [schema, result]}}


def _problems(endpoint: Endpoint) -> Document:
    """By status: which codes, with what each is."""
    codes = {*_ALWAYS, *endpoint.errors, *(_OF_GUARDED if endpoint.role is not None else ())}
    if endpoint.body is not None:
        codes.add("media_type_unsupported")
    by_status: dict[int, list[str]] = defaultdict(list)
    told = {answer.status for answer in endpoint.answers}
    for code in sorted(codes):
        status = status_of_code(code, retryable=code in RETRYABLE_CODES)
        if status not in told:
            by_status[status].append(code)
    return {str(status): _problem(by_status[status]) for status in sorted(by_status)}


def _problem(codes: Sequence[str]) -> Document:
    schema = {
        "allOf": [
            {"$ref": REF.format(name="Problem")},
            {"type": "object", "properties": {"code": {"enum": list(codes)}}},
        ]
    }
    return {"description": ", ".join(codes), "content": {PROBLEM: {"schema": schema}}}


def _resolved(schema: Document, components: Document) -> Document:
    reference = schema.get("$ref")
    return components[reference.rpartition("/")[2]] if isinstance(reference, str) else schema
