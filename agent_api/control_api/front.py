"""The outermost layer: limits on what is read of a request's head, its ids, and one line in the log for each change."""

from __future__ import annotations

import runtime.gateway.lean_uvicorn  # noqa: F401  before uvicorn's parts, which would execute the package

# isort: split
import traceback
from asyncio import get_running_loop
from typing import Final

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from agent_api.control_api.problems import ApiFault, problem
from runtime.cluster.membership import Lines
from runtime.invocation.context import CallContext, current

HEAD_BYTES_MAX: Final = 32 * 1024
HEADERS_MAX: Final = 100
TARGET_BYTES_MAX: Final = 8 * 1024
DEADLINE_S: Final = 60.0
FRAMES_SHOWN: Final = 4
_SAFE: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own, which ends a connection whose request's head is larger than it may be."""

    def send_400_response(self, msg: str) -> None:
        """As uvicorn does, but in the form of all problems."""
        fault = ApiFault(msg)
        answer = problem(fault)
        head = [STATUS_LINE[answer.status_code], *(b"%b: %b\r\n" % pair for pair in answer.raw_headers)]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", bytes(answer.body)]))
        self.transport.close()

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > TARGET_BYTES_MAX:
            raise httptools.HttpParserError("the target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) > HEADERS_MAX:
            raise httptools.HttpParserError("the head is too large")


class Front:
    """Around the whole application: answers of every kind carry x-request-id and traceparent."""

    def __init__(self, app: ASGIApp, *, log: Lines) -> None:
        self.app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no websockets, no lifespan
        given = {name: value for name, value in scope["headers"] if name in (b"traceparent", b"x-request-id")}
        call = CallContext.from_headers(_text(given.get(b"traceparent")), _text(given.get(b"x-request-id")), DEADLINE_S)
        token = current.set(call)
        status = 0
        began_s = get_running_loop().time()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ids = ((b"x-request-id", call.request_id.encode()), (b"traceparent", call.traceparent().encode()))
                known = {name for name, _ in message["headers"]}
                safe = [pair for pair in _SAFE if pair[0] not in known]
                message = {**message, "headers": [*message["headers"], *ids, *safe]}
            await send(message)

        try:
            await self.app(scope, receive, told)
        except Exception as error:
            self._log.warning("api_request_failed", path=_shown(scope), error=type(error).__name__, where=_where(error))
        finally:
            if scope["method"] not in ("GET", "HEAD") or status >= 500:
                taken_ms = round((get_running_loop().time() - began_s) * 1_000, 1)
                self._log.info("api_answered", **_line(scope, status), taken_ms=taken_ms)
            current.reset(token)


def _line(scope: Scope, status: int) -> dict[str, object]:
    """Never the query, headers or body: these may hold what a log must not."""
    caller = scope.get("state", {}).get("caller")
    return {
        "method": scope["method"],
        "path": _shown(scope),
        "status": status,
        "actor": caller.actor.id if caller is not None else "",
    }


def _where(error: Exception) -> list[str]:
    """The innermost frames. What the error says is left out: it may hold what a request carried."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _shown(scope: Scope) -> str:
    return str(scope["path"])[:200]


def _text(raw: bytes | None) -> str | None:
    return raw.decode("latin-1") if raw is not None else None
