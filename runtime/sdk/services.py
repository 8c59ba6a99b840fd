"""The marker that makes a Protocol an infra service's port: how a slice's constructor asks for one.

The runtime knows no service by name. A service declares its port, `agent_api/assemble` gives the worker a factory
for its name, and the host calls the factory with the request below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from runtime.invocation.context import CallContext

_ATTRIBUTE: Final = "__aether_service__"
PortT = TypeVar("PortT", bound=type)


def service(name: str) -> Callable[[PortT], PortT]:
    """Marks a Protocol as the port of the infra service `name`: `@service("cache") class Cache(Protocol): …`."""

    def mark(port: PortT) -> PortT:
        setattr(port, _ATTRIBUTE, name)
        return port

    return mark


def service_name(port: object) -> str | None:
    """The service that `port` is the port of; None for any other class."""
    name = getattr(port, "__dict__", {}).get(_ATTRIBUTE)
    return name if isinstance(name, str) else None


class Caller(Protocol):
    """The way out of a worker: calls `slice/method` wherever it runs."""

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        """`payload` is the msgpack array of the arguments, the reply the msgpack of the result. `node` picks the
        instance of that node, for system slices. Raises the errors of `runtime.invocation.errors`."""
        ...


class ServiceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a service, and its way to call the service's system slice."""

    slice: str
    version: str
    number: int
    node: str
    config: dict[str, str | int | float | bool]
    caller: Caller


ServiceFactory = Callable[[ServiceRequest], object]
