"""The HTTP front: from a request's head to its reply, without a task, a future or a parsed body in between.

`open` decides what a head alone can decide and gives an Exchange; `Exchange.send` hands the body on to the router;
the router's callback ends it. How bytes come in and go out is the business of connection.py and asgi.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from runtime.clock import Clock
from runtime.gateway.exchange import Client, Exchange, Headers
from runtime.gateway.limits import GatewayLimits
from runtime.gateway.problem import Refused
from runtime.gateway.render import Renderer
from runtime.gateway.routes import Binding, Found, PathNotText, RouteTable, pick
from runtime.gateway.watch import RequestWatch
from runtime.invocation.context import CallContext
from runtime.invocation.outcome import Outcome

HEALTH: Final = b"/health/"  # the gateway's own; no slice is asked for these
CONTENT_LENGTH_DIGITS_MAX: Final = 18
DEADLINE_DIGITS_MAX: Final = 9
PLAIN: Final[Headers] = (("content-type", "application/json"), ("cache-control", "no-store"))


class Calls(Protocol):
    """What the front needs of the router."""

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
        """Begins a call; `done` is called once, unless the returned function ends it first."""
        ...


class Front:
    """What all connections of one gateway share. Owned by one loop."""

    def __init__(
        self,
        *,
        calls: Calls,
        watch: RequestWatch,
        limits: GatewayLimits,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self.calls = calls
        self.watch = watch
        self.limits = limits
        self.renderer = Renderer(clock.unix_ms() / 1_000)
        self.emptied = asyncio.Event()  # the last connection closed
        self.routes = RouteTable()
        self.ready = False  # a routing table was applied
        self.draining = False
        self.in_flight = 0
        self.bodies_bytes = 0
        self._clock = clock
        self._random = random  # which version has a request, where versions differ in their routes

    def tick(self) -> None:
        """To be called each second."""
        self.renderer.tick(self._clock.unix_ms() / 1_000)
        self.watch.tick()

    def apply(self, routes: RouteTable) -> None:
        """Requests that are already open keep the binding they found."""
        self.routes = routes
        self.watch.forget()
        self.ready = True

    def open(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], client: Client) -> Exchange:
        """An exchange that either waits for its body or is answered already. Header names are in lower case."""
        exchange = Exchange(self, client)
        exchange.head_only = method == b"HEAD"
        if target.startswith(HEALTH):
            exchange.context = _context(headers, 0.0)
            self._answer_health(exchange, method, target.partition(b"?")[0])
            return exchange
        try:
            deadline_s = self._route(exchange, method, target, headers)
        except Refused as refused:
            exchange.context = _context(headers, 0.0)
            exchange.refuse(refused.code, str(refused), *refused.headers)
        else:
            exchange.context = _context(headers, deadline_s)
        return exchange

    def nameless(self, client: Client) -> Exchange:
        """An exchange for what could not be read as a request."""
        exchange = Exchange(self, client)
        exchange.context = _context({}, 0.0)
        return exchange

    def _answer_health(self, exchange: Exchange, method: bytes, path: bytes) -> None:
        if method not in (b"GET", b"HEAD"):
            exchange.refuse("method_not_allowed", "this path answers GET, HEAD", ("allow", "GET, HEAD"))
        elif path == b"/health/live":
            exchange.answer(200, PLAIN, b'{"status":"live"}')
        elif path != b"/health/ready":
            exchange.refuse("route_not_found", "the health paths are /health/live and /health/ready")
        elif self.draining:
            exchange.refuse("draining", "this node is leaving")
        elif not self.ready:
            exchange.refuse("no_instance", "this gateway has no routes yet")
        else:
            exchange.answer(200, PLAIN, b'{"status":"ready"}')

    def _route(self, exchange: Exchange, method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> float:
        """Fills in where the request goes and what goes with it. Gives the seconds it has. Raises Refused."""
        path, _, query = target.partition(b"?")
        found = self._find(method, path)
        binding = found.binding
        if binding.others:
            binding = pick(binding, self._random())
            found = Found(binding, found.path)
        exchange.found = found
        self._check_body(headers)
        if self.in_flight >= self.limits.requests_in_flight_max:
            raise Refused("overloaded", f"this gateway has {self.in_flight} requests in progress")
        if query:
            exchange.query = _decoded(query, "bad_path", "the query")
        if binding.headers:
            exchange.passed = tuple(
                (name.decode("latin-1"), _decoded(headers[name], "bad_header", f"header {name.decode('latin-1')}"))
                for name in binding.headers
                if name in headers
            )
        return self._deadline_ms(binding, headers.get(b"x-deadline-ms")) / 1_000

    def _find(self, method: bytes, path: bytes) -> Found:
        if not path.startswith(b"/"):
            path = _origin_form(path)
        try:
            found = self.routes.find(method, path)
        except PathNotText:
            raise Refused("bad_path", "the path is not UTF-8 text") from None
        if isinstance(found, Found):
            return found
        if found.allow:
            allow = ", ".join(found.allow)
            raise Refused("method_not_allowed", f"this path answers {allow}", ("allow", allow))
        if not self.ready:
            raise Refused("no_instance", "this gateway has no routes yet")
        raise Refused("route_not_found", "no slice answers this path")

    def _check_body(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length")
        if length is None:
            if b"transfer-encoding" in headers:
                _check_encoding(headers)
            return
        if not length.isdigit():
            raise Refused("bad_request", "content-length is not a whole number")
        if len(length) > CONTENT_LENGTH_DIGITS_MAX or int(length) > self.limits.body_bytes_max:
            raise Refused("body_too_large", self.too_large())
        if self.bodies_bytes + int(length) > self.limits.bodies_bytes_max:
            raise Refused("overloaded", "too many large bodies are being received at once")
        _check_encoding(headers)

    def broke(self, error: BaseException) -> None:
        """Notes a fault of our own."""
        self.watch.broke(error)

    def too_large(self) -> str:
        return f"the body is larger than {self.limits.body_bytes_max} bytes"

    def _deadline_ms(self, binding: Binding, wanted: bytes | None) -> int:
        """What contract and settings give, or the client's wish if that is less."""
        if wanted is None:
            return binding.deadline_ms
        if not wanted.isdigit() or len(wanted) > DEADLINE_DIGITS_MAX or int(wanted) == 0:
            raise Refused("bad_deadline", "x-deadline-ms is not a whole number of milliseconds above 0")
        return min(binding.deadline_ms, int(wanted))


def _check_encoding(headers: Mapping[bytes, bytes]) -> None:
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refused("encoding_not_supported", "the body is compressed", ("accept-encoding", "identity"))


def _context(headers: Mapping[bytes, bytes], deadline_s: float) -> CallContext:
    return CallContext.from_headers(_text(headers.get(b"traceparent")), _text(headers.get(b"x-request-id")), deadline_s)


def _text(value: bytes | None) -> str | None:
    """Identifiers are ASCII or they are made anew."""
    return value.decode("ascii") if value is not None and value.isascii() else None


def _decoded(value: bytes, code: str, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused(code, f"{what} is not UTF-8 text") from None


def _origin_form(target: bytes) -> bytes:
    """The path of `http://host/path`, as proxies send it. Raises Refused for everything else."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise Refused("bad_path", "the path does not start with a slash")
    return b"/" + rest.partition(b"/")[2]
