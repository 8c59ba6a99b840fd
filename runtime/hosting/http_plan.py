"""A route made ready: how an HTTP request becomes arguments, and a reply becomes an HTTP reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

import msgspec

from runtime.hosting.codec import JSON, convert_text, json_decoder
from runtime.hosting.errors import ArgumentsInvalid, BodyMalformed
from runtime.hosting.method_plan import Arguments, MethodPlan
from runtime.invocation.http import HttpReply, HttpRequest
from runtime.sdk.response import Response
from runtime.sdk.signature import MethodReading, ParameterReading, path_names
from runtime.sdk.wiretypes import WireKind, exact_class, wire_kind

QUERY_FIELDS_MAX: Final = 256
_JSON_HEADERS: Final = (("content-type", "application/json"),)
_RAW_HEADERS: Final = (("content-type", "application/octet-stream"),)
_RESPONSE_HEADERS_MAX: Final = 64

Query = dict[str, list[str]]
Headers = dict[str, str]
Bind = Callable[[HttpRequest, Query, Headers], object]


class RoutePlan:
    """One route of one method."""

    __slots__ = ("_binds", "_plan", "_reads_headers", "_reads_query", "_reply_decoder", "_status", "path_count")

    def __init__(self, plan: MethodPlan, route: int) -> None:
        reading, contract = plan.reading, plan.reading.contract.routes[route]
        names = path_names(contract.path)
        self._plan = plan
        self._status = contract.status
        self._binds = tuple(_bind(reading, parameter, names) for parameter in reading.parameters)
        self.path_count = len(names)
        self._reads_query = any(parameter.source == "query" for parameter in reading.parameters)
        self._reads_headers = any(parameter.source == "header" for parameter in reading.parameters)
        self._reply_decoder = json_decoder(reading.returns)

    def arguments(self, request: HttpRequest) -> Arguments:
        """Raises ArgumentsInvalid or BodyMalformed."""
        query = _query(request.query) if self._reads_query and request.query else {}
        headers = dict(request.headers) if self._reads_headers else {}
        return tuple([bind(request, query, headers) for bind in self._binds])

    def reply(self, value: object) -> HttpReply:
        """Raises ReplyTypeWrong."""
        if type(value) is Response:
            return self._own(value)
        if value is None and self._plan.is_exact(value) and self._status == 204:
            return HttpReply(204, (), b"")
        if type(value) is bytes and self._plan.is_exact(value):
            return HttpReply(self._status, _RAW_HEADERS, value)
        try:
            body = JSON.encode(value)
            if not self._plan.is_exact(value):
                self._reply_decoder.decode(body)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._plan.wrong_reply(value, error) from None
        return HttpReply(self._status, _JSON_HEADERS, body)

    def _own(self, value: Response) -> HttpReply:
        """A reply that the method made itself; checked, since its parts go to the wire as they are."""
        try:
            self._plan.reply(value)
            msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=Response)
        except msgspec.ValidationError as error:
            raise self._plan.wrong_reply(value, error) from None
        if not 200 <= value.status <= 599 or len(value.headers) > _RESPONSE_HEADERS_MAX:
            raise self._plan.wrong_reply(value, ValueError("its status or number of headers is out of range"))
        for name, text in value.headers:
            if not (name.replace("-", "").isalnum() and name.isascii()) or not text.isprintable():
                raise self._plan.wrong_reply(value, ValueError(f"header {name!r} is not printable"))
        return HttpReply(value.status, value.headers, value.body)


def _query(raw: str) -> Query:
    try:
        return parse_qs(raw, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise ArgumentsInvalid(f"query: {error}") from None


def _bind(reading: MethodReading, parameter: ParameterReading, names: tuple[str, ...]) -> Bind:
    match parameter.source:
        case "path":
            return _path(parameter, names.index(parameter.name))
        case "query":
            return _query_value(parameter)
        case "header":
            return _header(parameter)
        case "body":
            return _body(parameter)
        case "none":
            raise AssertionError(f"{reading.name} has a route, so {parameter.name} has a source")


def _path(parameter: ParameterReading, index: int) -> Bind:
    if parameter.annotation is str:
        return lambda request, query, headers: request.path[index]
    return lambda request, query, headers: _converted(parameter, request.path[index])


def _query_value(parameter: ParameterReading) -> Bind:
    name = parameter.wire_name
    repeated = wire_kind(parameter.annotation) is WireKind.REPEATED

    def bind(request: HttpRequest, query: Query, headers: Headers) -> object:
        values = query.get(name)
        if values is None:
            return _absent(parameter, f"query parameter {name}")
        return _converted(parameter, values if repeated else values[-1])

    return bind


def _header(parameter: ParameterReading) -> Bind:
    name = parameter.wire_name

    def bind(request: HttpRequest, query: Query, headers: Headers) -> object:
        value = headers.get(name)
        return _absent(parameter, f"header {name}") if value is None else _converted(parameter, value)

    return bind


def _body(parameter: ParameterReading) -> Bind:
    if exact_class(parameter.annotation) is bytes:
        return lambda request, query, headers: request.body
    decoder = json_decoder(parameter.annotation)

    def bind(request: HttpRequest, query: Query, headers: Headers) -> object:
        body = request.body
        if not body and not parameter.required:
            return parameter.default
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise ArgumentsInvalid(f"body: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BodyMalformed(f"body: {error}" if body else "body: it is missing") from None

    return bind


def _absent(parameter: ParameterReading, what: str) -> object:
    if parameter.required:
        raise ArgumentsInvalid(f"{what} is missing")
    return parameter.default


def _converted(parameter: ParameterReading, text: str | list[str]) -> object:
    try:
        return convert_text(text, parameter.annotation)
    except msgspec.ValidationError as error:
        raise ArgumentsInvalid(
            f"{parameter.source} parameter {parameter.wire_name or parameter.name}: {error}"
        ) from None
