"""What a slice promises, as plain data: read from the class at build time, stored with the artifact, used by everyone.

No process but the worker ever imports slice code; gateway and control know slices by these records alone.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class ParameterContract(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a method. `source` says where an HTTP request carries it; "none" without a route."""

    name: str
    source: Literal["path", "query", "header", "body", "none"] = "none"
    type: str
    required: bool = True
    wire_name: str = ""  # the header's or query parameter's name on the wire, lower case


class RouteContract(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP binding. `path` has `{name}` segments; `status` is that of a success."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    status: int = 200
    headers: tuple[str, ...] = ()  # lower-case request headers that the method reads; the front passes only these


class ErrorContract(msgspec.Struct, frozen=True, kw_only=True):
    """A domain error that a method declares."""

    code: str
    status: int


class MethodContract(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    parameters: tuple[ParameterContract, ...] = ()
    returns: str = "None"
    idempotent: bool = False
    deadline_ms: int = 5_000
    routes: tuple[RouteContract, ...] = ()
    errors: tuple[ErrorContract, ...] = ()


class DependencyContract(msgspec.Struct, frozen=True, kw_only=True):
    """A constructor parameter. `kind` "service" names an infra service (cache, database), "slice" a slice."""

    parameter: str
    kind: Literal["slice", "service"]
    name: str
    required: bool = True
    methods: tuple[str, ...] = ()  # what the interface asks for; empty for services


class SliceContract(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    entry: str  # "module:Class"
    summary: str = ""
    methods: tuple[MethodContract, ...] = ()
    dependencies: tuple[DependencyContract, ...] = ()
    concurrency_max: int = 256  # calls in progress per instance; beyond it the worker answers NACK
