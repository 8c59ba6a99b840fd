"""Fakes around a Front: meters and lines that remember, and a router that keeps its calls until told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from runtime.clock import SystemClock
from runtime.gateway.front import Front
from runtime.gateway.limits import GatewayLimits
from runtime.gateway.routes import Binding, RouteTable
from runtime.gateway.watch import Ending, RequestWatch
from runtime.invocation.context import CallContext
from runtime.invocation.errors import CallFault
from runtime.invocation.http import HttpReply, HttpRequest
from runtime.invocation.outcome import Outcome


class Meter:
    def __init__(self) -> None:
        self.endings: list[str] = []

    def record(self, duration_us: int, outcome: Ending) -> None:
        assert duration_us >= 0
        self.endings.append(outcome)


class Meters:
    def __init__(self) -> None:
        self.meters: dict[tuple[str, str, str], Meter] = {}

    def method(self, slice_name: str, version: str, method: str) -> Meter:
        return self.meters.setdefault((slice_name, version, method), Meter())


class Lines:
    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.written.append((event, fields))

    warning = error = info


@dataclass
class Call:
    """A call as the router saw it."""

    target: str
    request: HttpRequest
    context: CallContext
    versions: frozenset[str] | None
    done: Callable[[Outcome], None]
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def reply(self, status: int = 200, body: bytes = b"{}", *headers: tuple[str, str]) -> None:
        self.done(Outcome(msgspec.msgpack.encode(HttpReply(status, headers, body))))

    def echo(self) -> None:
        self.reply(200, self.request.body)

    def cancel(self) -> None:
        self.cancelled.set()

    def fail(self, fault: CallFault) -> None:
        self.done(Outcome(b"", fault))


class FakeRouter:
    """Keeps calls until the test answers them, or answers at once with what `at_once` makes of them."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Call] = asyncio.Queue()
        self.at_once: Callable[[Call], None] | None = None

    def start(
        self,
        target: str,
        payload: bytes,
        context: CallContext,
        done: Callable[[Outcome], None],
        *,
        http: bool = False,
        versions: frozenset[str] | None = None,
    ) -> Callable[[], None]:
        assert http
        call = Call(target, msgspec.msgpack.decode(payload, type=HttpRequest), context, versions, done)
        if self.at_once is not None:
            self.at_once(call)
        else:
            self.calls.put_nowait(call)
        return call.cancel


def make_front(
    router: FakeRouter,
    *bindings: Binding,
    limits: GatewayLimits,
    lines: Lines | None = None,
    meters: Meters | None = None,
) -> Front:
    watch = RequestWatch(meters=meters or Meters(), lines=lines or Lines())
    front = Front(calls=router, watch=watch, limits=limits, clock=SystemClock(), random=lambda: 0.0)
    front.apply(RouteTable(bindings))
    return front


def binding(http_method: str, path: str, *headers: bytes) -> Binding:
    return Binding("orders", "place", "orders/place", http_method, path, 0, headers, 5_000, frozenset({"1"}))
