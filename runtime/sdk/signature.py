"""Reads one method: its parameters, where a request carries them, its reply, its routes and errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args, get_origin, get_type_hints

from runtime.sdk.contract import ErrorContract, MethodContract, ParameterContract, RouteContract
from runtime.sdk.domain import DomainError, fields_struct
from runtime.sdk.errors import SliceInvalid
from runtime.sdk.marks import Header, MethodMarks, Query, RouteMark, marks_of
from runtime.sdk.response import Response
from runtime.sdk.wiretypes import WireKind, type_text, wire_kind

Source = Literal["path", "query", "header", "body", "none"]

DEADLINE_MS: Final = 5_000
DEADLINE_MS_MAX: Final = 600_000  # ten minutes: what takes longer is a workflow
ROUTES_MAX: Final = 8
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}")
_HEADER_NAME: Final = re.compile(r"[a-z0-9-]+")
_RESERVED_PATH: Final = "/health"  # the gateway answers below it
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterReading:
    """A parameter with its type as Python has it."""

    name: str
    annotation: object
    source: Source
    wire_name: str
    required: bool
    default: object

    def contract(self) -> ParameterContract:
        return ParameterContract(
            name=self.name,
            source=self.source,
            type=type_text(_bare(self.annotation)),
            required=self.required,
            wire_name=self.wire_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodReading:
    """A method that keeps the rules."""

    name: str
    parameters: tuple[ParameterReading, ...]
    returns: object
    errors: tuple[type[DomainError], ...]
    contract: MethodContract


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a method stands, to refuse it there."""

    owner: str
    name: str
    file: str
    line: int

    def invalid(self, problem: str, remedy: str) -> SliceInvalid:
        return SliceInvalid(f"{self.owner}.{self.name}: {problem}", remedy=remedy, file=self.file, line=self.line)


def read_method(owner: str, name: str, function: Callable[..., object]) -> MethodReading:
    """`owner` is the class's name, for the message. Raises SliceInvalid."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    place = _Place(owner, name, code.co_filename if code else "", code.co_firstlineno if code else 0)
    _check_async(place, function)
    marks = marks_of(function)
    _check_marks(place, marks)
    hints = _hints(place, function)
    parameters = _parameters(place, function, hints, marks)
    if "return" not in hints:
        raise place.invalid("does not say what it returns", "annotate it, with `-> None` if it returns nothing")
    returns = hints["return"]
    if returns is not Response:
        _kind(place, "the reply", returns)
    return MethodReading(
        name=name,
        parameters=parameters,
        returns=returns,
        errors=tuple(marks.errors),
        contract=MethodContract(
            name=name,
            parameters=tuple(parameter.contract() for parameter in parameters),
            returns=type_text(returns),
            idempotent=marks.idempotent,
            deadline_ms=marks.deadline_ms or DEADLINE_MS,
            routes=tuple(_route(mark, parameters, returns) for mark in marks.routes),
            errors=tuple(ErrorContract(code=error.code, status=error.status) for error in marks.errors),
        ),
    )


def path_names(path: str) -> tuple[str, ...]:
    """The `{names}` of a route's template, in order."""
    return tuple(segment[1:-1] for segment in path.split("/") if segment.startswith("{"))


def _check_async(place: _Place, function: Callable[..., object]) -> None:
    if inspect.isasyncgenfunction(function):
        raise place.invalid("is an async generator; replies are one value", "return a list, or page with a cursor")
    if not inspect.iscoroutinefunction(function):
        raise place.invalid(
            "is public but not async", "make it `async def`, or begin its name with _ if no caller needs it"
        )


def _check_marks(place: _Place, marks: MethodMarks) -> None:
    if len(marks.routes) > ROUTES_MAX:
        raise place.invalid(f"has more than {ROUTES_MAX} routes", "split the method")
    if marks.deadline_ms is not None and not 0 < marks.deadline_ms <= DEADLINE_MS_MAX:
        raise place.invalid(
            f"has a deadline of {marks.deadline_ms} ms", f"choose 1 to {DEADLINE_MS_MAX} ms; longer work is a workflow"
        )
    for route in marks.routes:
        _check_path(place, route)
    for error in marks.errors:
        _check_error(place, error)


def _check_path(place: _Place, route: RouteMark) -> None:
    path = route.path
    if not path.startswith("/") or not (path == "/" or all(_SEGMENT.fullmatch(part) for part in path[1:].split("/"))):
        raise place.invalid(
            f"route {path!r} is not a path", "write it as /orders/{order_id}: no trailing slash, whole segments in {}"
        )
    if path == _RESERVED_PATH or path.startswith(f"{_RESERVED_PATH}/"):
        raise place.invalid(f"route {path!r} belongs to the gateway", f"choose a path outside {_RESERVED_PATH}")
    names = path_names(path)
    if len(set(names)) != len(names):
        raise place.invalid(f"route {path!r} names a parameter twice", "give each {name} in the path its own name")
    if route.status is not None and not 200 <= route.status <= 399:
        raise place.invalid(
            f"route {path!r} succeeds with status {route.status}", "choose 200 to 399; failures are domain errors"
        )


def _check_error(place: _Place, error: object) -> None:
    if not (isinstance(error, type) and issubclass(error, DomainError)):
        raise place.invalid(f"declares {error!r}, which is no domain error", "derive it from runtime.sdk.DomainError")
    if not 400 <= error.status <= 599:
        raise place.invalid(f"{error.__name__}.status is {error.status}", "choose an HTTP status from 400 to 599")
    try:
        wire_kind(fields_struct(error))
    except (TypeError, NameError) as reason:
        raise place.invalid(
            f"{error.__name__} has a field that cannot travel: {reason}", "use plain types, Structs or dataclasses"
        ) from None


def _hints(place: _Place, function: Callable[..., object]) -> Mapping[str, object]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError) as reason:
        raise place.invalid(
            f"has an annotation that cannot be resolved: {reason}",
            "import the type at the top of the module, not under TYPE_CHECKING or inside a function",
        ) from None


def _parameters(
    place: _Place, function: Callable[..., object], hints: Mapping[str, object], marks: MethodMarks
) -> tuple[ParameterReading, ...]:
    listed = list(inspect.signature(function).parameters.values())[1:]  # without self
    readings = tuple(_parameter(place, parameter, hints, marks) for parameter in listed)
    for route in marks.routes:
        missing = set(path_names(route.path)) - {reading.name for reading in readings}
        if missing:
            raise place.invalid(
                f"route {route.path!r} has {{{min(missing)}}}, but no parameter has that name",
                f"add `{min(missing)}: str` to the method, or rename one of them",
            )
    bodies = [reading.name for reading in readings if reading.source == "body"]
    if len(bodies) > 1:
        raise place.invalid(
            f"has {len(bodies)} body parameters: {', '.join(bodies)}",
            "put them into one Struct; a request has one body",
        )
    return readings


def _parameter(
    place: _Place, parameter: inspect.Parameter, hints: Mapping[str, object], marks: MethodMarks
) -> ParameterReading:
    name = parameter.name
    if parameter.kind in _VARIADIC:
        raise place.invalid(f"takes *{name}", "name each parameter; a contract lists them")
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        raise place.invalid(f"{name} is keyword-only", "drop the bare *; arguments travel in order")
    if name not in hints:
        raise place.invalid(f"parameter {name} has no type", f"annotate it, as in `{name}: str`")
    annotation = hints[name]
    source, wire_name = _source(place, name, annotation, marks)
    return ParameterReading(
        name=name,
        annotation=annotation,
        source=source,
        wire_name=wire_name,
        required=parameter.default is inspect.Parameter.empty,
        default=None if parameter.default is inspect.Parameter.empty else parameter.default,
    )


def _source(place: _Place, name: str, annotation: object, marks: MethodMarks) -> tuple[Source, str]:
    kind = _kind(place, f"parameter {name}", annotation)
    if not marks.routes:
        return "none", ""
    found = {_source_in(place, name, annotation, kind, route) for route in marks.routes}
    if len(found) > 1:
        raise place.invalid(
            f"parameter {name} comes from {' and '.join(sorted(source for source, _ in found))} in different routes",
            "give each route its own method",
        )
    return found.pop()


def _source_in(place: _Place, name: str, annotation: object, kind: WireKind, route: RouteMark) -> tuple[Source, str]:
    if name in path_names(route.path):
        if kind is not WireKind.SIMPLE:
            raise place.invalid(f"path parameter {name} is a {type_text(_bare(annotation))}", "use a simple type")
        return "path", ""
    marked = _marked(place, name, annotation, kind)
    if marked is not None:
        return marked
    if kind in (WireKind.STRUCTURED, WireKind.RAW) or (
        kind is WireKind.REPEATED and route.verb not in ("GET", "DELETE")
    ):
        if route.verb in ("GET", "DELETE"):
            raise place.invalid(
                f"parameter {name} would be the body of a {route.verb}", "use POST or PUT, or simple parameters"
            )
        return "body", ""
    if route.verb in ("GET", "DELETE"):
        return "query", name
    raise place.invalid(
        f"nothing says where {name} comes from in {route.verb} {route.path}",
        f"put {{{name}}} into the path, make it `Annotated[…, Query()]` or `Annotated[…, Header(…)]`, "
        "or a member of the body's Struct",
    )


def _marked(place: _Place, name: str, annotation: object, kind: WireKind) -> tuple[Source, str] | None:
    """What `Annotated[…, Header(…)]` or `Query(…)` says, if anything."""
    for extra in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        if isinstance(extra, Header):
            wire_name = extra.name.lower()
            if kind is not WireKind.SIMPLE or _HEADER_NAME.fullmatch(wire_name) is None:
                raise place.invalid(f"header parameter {name} is wrong", "use a simple type and a name like x-tenant")
            return "header", wire_name
        if isinstance(extra, Query):
            if kind not in (WireKind.SIMPLE, WireKind.REPEATED):
                raise place.invalid(f"query parameter {name} is structured", "use a simple type or a list of one")
            return "query", extra.name or name
    return None


def _route(mark: RouteMark, parameters: tuple[ParameterReading, ...], returns: object) -> RouteContract:
    empty = returns is None or returns is type(None)
    return RouteContract(
        method=mark.verb,
        path=mark.path,
        status=mark.status if mark.status is not None else 204 if empty else 200,
        headers=tuple(parameter.wire_name for parameter in parameters if parameter.source == "header"),
    )


def _kind(place: _Place, what: str, annotation: object) -> WireKind:
    try:
        return wire_kind(annotation)
    except TypeError as reason:
        raise place.invalid(
            f"{what} has a type that cannot travel: {reason}",
            "use plain types, frozen msgspec Structs, dataclasses or pydantic models",
        ) from None


def _bare(annotation: object) -> object:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
