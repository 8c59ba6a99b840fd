"""The decorators of a slice. They only write down what was asked; `reading` checks it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from runtime.sdk.domain import DomainError

Verb = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
MethodT = TypeVar("MethodT", bound=Callable[..., object])
ClassT = TypeVar("ClassT", bound=type)

CONCURRENCY_MAX: Final = 256  # calls in progress per instance; 256 x 20 KiB of task and arguments is about 5 MiB
_SLICE: Final = "__aether_slice__"
_METHOD: Final = "__aether_method__"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceMark:
    name: str
    version: str
    concurrency_max: int
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMark:
    verb: Verb
    path: str
    status: int | None  # None: 200, or 204 where nothing is returned


@dataclass(slots=True)
class MethodMarks:
    """What the decorators of one method said."""

    routes: list[RouteMark] = field(default_factory=list)
    errors: list[type[DomainError]] = field(default_factory=list)
    idempotent: bool = False
    deadline_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """`Annotated[str, Header("x-tenant")]`: the parameter is a request header."""

    name: str


@dataclass(frozen=True, slots=True)
class Query:
    """`Annotated[int, Query("page-size")]`: the parameter is in the query string, under its own name by default."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class use:  # noqa: N801  reads as a word in `Annotated[Stock, use("inventory")]`
    """Names the slice behind a constructor parameter whose type is a Protocol."""

    name: str


def slice_(*, name: str, version: str, concurrency_max: int = CONCURRENCY_MAX) -> Callable[[ClassT], ClassT]:
    """Makes a class a slice. Its public async methods are its contract."""
    frame = sys._getframe(1)
    file, line = frame.f_code.co_filename, frame.f_lineno

    def mark(cls: ClassT) -> ClassT:
        made = SliceMark(name=name, version=version, concurrency_max=concurrency_max, file=file, line=line)
        setattr(cls, _SLICE, made)
        return cls

    return mark


def get(path: str, *, status: int | None = None) -> Callable[[MethodT], MethodT]:
    """Binds `GET path`. Parameters that are not in the path are query parameters."""
    return _route("GET", path, status)


def post(path: str, *, status: int | None = None) -> Callable[[MethodT], MethodT]:
    """Binds `POST path`. A parameter of a structured type is the JSON body."""
    return _route("POST", path, status)


def put(path: str, *, status: int | None = None) -> Callable[[MethodT], MethodT]:
    """Binds `PUT path`. A parameter of a structured type is the JSON body."""
    return _route("PUT", path, status)


def patch(path: str, *, status: int | None = None) -> Callable[[MethodT], MethodT]:
    """Binds `PATCH path`. A parameter of a structured type is the JSON body."""
    return _route("PATCH", path, status)


def delete(path: str, *, status: int | None = None) -> Callable[[MethodT], MethodT]:
    """Binds `DELETE path`. Parameters that are not in the path are query parameters."""
    return _route("DELETE", path, status)


def idempotent(method: MethodT) -> MethodT:
    """Running the method twice does what running it once does, so a call that may have run is retried."""
    marks_of(method).idempotent = True
    return method


def raises(*errors: type[DomainError]) -> Callable[[MethodT], MethodT]:
    """Declares the domain errors that callers get as themselves."""

    def mark(method: MethodT) -> MethodT:
        marks_of(method).errors.extend(errors)
        return method

    return mark


def deadline(*, ms: int) -> Callable[[MethodT], MethodT]:
    """How long a call of this method may take, unless its caller allows less. 5 s by default."""

    def mark(method: MethodT) -> MethodT:
        marks_of(method).deadline_ms = ms
        return method

    return mark


def slice_mark(cls: object) -> SliceMark | None:
    """The mark of this very class; a subclass of a slice is no slice."""
    made = getattr(cls, "__dict__", {}).get(_SLICE)
    return made if isinstance(made, SliceMark) else None


def marks_of(method: object) -> MethodMarks:
    """The marks of a function, made on first use."""
    made = getattr(method, _METHOD, None)
    if not isinstance(made, MethodMarks):
        made = MethodMarks()
        setattr(method, _METHOD, made)
    return made


def _route(verb: Verb, path: str, status: int | None) -> Callable[[MethodT], MethodT]:
    def mark(method: MethodT) -> MethodT:
        marks_of(method).routes.insert(0, RouteMark(verb=verb, path=path, status=status))  # decorators run bottom up
        return method

    return mark
