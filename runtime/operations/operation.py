"""An operation, declared once: the HTTP API, the command line, the model's tools and playbook steps come from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, Literal, TypeVar

import msgspec

from runtime.operations.actor import Actor, Role
from runtime.operations.plan import Plan, Refusal
from runtime.operations.state import PlanState


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests: members carry their limits, units and meaning as msgspec.Meta."""


SECRET: Final = {"secret": True}
"""As a member's Meta.extra: it may hold secrets, and is told neither in the audit nor in proposals."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all results."""


RequestT = TypeVar("RequestT", bound=Request)


class Risk(StrEnum):
    """What harm an operation can do at most, before anything is known of the case."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    """Who may do what: never for agents."""


class Effect(StrEnum):
    """What a repetition does: nothing at all, nothing more, or once more."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class Convergence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the change took hold. `waits_for` says in words what is still missing."""

    done: bool
    waits_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the API offers it; `{names}` of the path and the rest of the request's members make the request up."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str


def always_converged(_state: PlanState, _request: Request) -> Convergence:
    """Of changes that have taken hold once they are written."""
    return Convergence(done=True)


def permits_all(_state: PlanState, _request: Request, _actor: Actor) -> Refusal | None:
    """Of changes for which the role says all there is to say."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[RequestT]):
    """Something that changes desired state. `plan` is pure; `subject` names what the change is about."""

    name: str
    summary: str
    request: type[RequestT]
    result: type[Result]
    route: Route
    role: Role
    risk: Risk
    effect: Effect
    subject: Callable[[RequestT], str]
    plan: Callable[[PlanState, RequestT], Plan | Refusal]
    converged: Callable[[PlanState, RequestT], Convergence] = always_converged
    permits: Callable[[PlanState, RequestT, Actor], Refusal | None] = permits_all
    """Why that actor may not, whatever the role: it is somebody else's."""
    errors: tuple[str, ...] = ()
    """Codes of its own that a refusal may have."""
    body: Literal["json", "bytes"] = "json"
    """`bytes`: the request is made from a stream by the node that takes it."""
    heeds_freeze: bool = True
    """A freeze holds it back: all but what sets and lifts freezes, and tells of incidents."""
    kind: Literal["change"] = field(default="change", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Generic[RequestT]):
    """Something that can be asked. Who answers it is wired in when the process is put together."""

    name: str
    summary: str
    request: type[RequestT]
    result: type[Result]
    route: Route
    role: Role = Role.VIEWER
    paged: bool = False
    """The result has `items`, told page by page with a cursor."""
    errors: tuple[str, ...] = ()
    kind: Literal["read"] = field(default="read", init=False)


AnyChange = Change[Request]
AnyQuery = Query[Request]
AnyOperation = AnyChange | AnyQuery
