"""One route of the API, as data: the routes, the role checks and the OpenAPI document are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
from fastapi import Request, Response

from runtime.operations.actor import Role

Handler = Callable[[Request], Awaitable[Response]]
Method = Literal["GET", "PUT", "POST", "DELETE"]

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
BYTES: Final = "application/octet-stream"
LINES: Final = "application/x-ndjson"
TEXT: Final = "text/plain"
TOML: Final = "application/toml"


class NoWords(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of endpoints that take no query words."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A result with `revision` and `stale` beside its members."""

    result: type[msgspec.Struct]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer that is no problem. `model` is None where the media type alone says what it is. `result` is what the
    model's member of that name holds, where it says more than the model does."""

    status: int
    says: str
    model: object = None
    result: type[msgspec.Struct] | None = None
    media: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`role` None is open to everybody, and `open_because` says why. Where `gated`, the gate checks the role, since
    owners may act whatever their role is, and notes the refusal in the audit."""

    name: str
    summary: str
    method: Method
    path: str
    handle: Handler
    answers: tuple[Told, ...]
    role: Role | None = Role.VIEWER
    open_because: str = ""
    gated: bool = False
    subject: Callable[[Request], str] | None = None
    """What it is about, where the path does not name that itself."""
    subjectless: bool = False
    """It says nothing of any slice, node or blueprint: a role that holds for some of these alone is enough."""
    words: type[msgspec.Struct] = NoWords
    """Query words, with their limits; members that the path names are not among them."""
    body: type[msgspec.Struct] | None = None
    """The JSON object that is taken, without the members that the path names."""
    takes: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()
    """Request headers that it heeds, as `openapi` knows them."""
    errors: tuple[str, ...] = field(default=())
    """Codes of its own problems, beside those that every endpoint may answer."""
