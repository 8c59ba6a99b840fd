"""An API that answers as a test scripts it, over real sockets, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """`raw` is written instead of all else; `breaks` ends the connection without an answer."""

    document: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""
    breaks: bool = False


Answer = Callable[[Asked], Reply]


class StubApi:
    """Answers with one reply after the other, the last of them over and over; or with what a function says.

    hasty: before the body is read, and then it ends the connection.
    """

    def __init__(self, *replies: Reply, answer: Answer | None = None, hasty: bool = False) -> None:
        self.hasty = hasty
        self.asked: list[Asked] = []
        self._replies = list(replies)
        self._answer = answer
        self.address = ""

    def reply_to(self, asked: Asked) -> Reply:
        if asked.path == "/health/live":  # which every node answers, and no test is about
            return Reply()
        self.asked.append(asked)
        if self._answer is not None:
            return self._answer(asked)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    @contextmanager
    def serving(self) -> Iterator[StubApi]:
        server = _Server(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.address = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(stub: StubApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = b"" if stub.hasty else self.rfile.read(int(self.headers.get("content-length", 0)))
            self.close_connection = stub.hasty
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = stub.reply_to(Asked(self.command, self.path, headers, body))
            if reply.breaks or reply.raw:
                self.wfile.write(reply.raw)
                self.close_connection = True
                return
            raw = json.dumps(reply.document).encode()
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(raw)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  as the base class asks for

        def handle_expect_100(self) -> bool:
            return stub.hasty or super().handle_expect_100()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def closed_port() -> Iterator[str]:
    """An address on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def problem(code: str, *, status: int = 409, retryable: bool = False, remedy: str = "", detail: str = "") -> Reply:
    document = {"code": code, "detail": detail or code, "retryable": retryable, "remedy": remedy, "status": status}
    return Reply(document, status)


def applied(**members: object) -> Reply:
    """As a change that was made is answered."""
    return Reply(
        {
            "outcome": "applied",
            "type": "applied",
            "revision": 7,
            "operation": "slice.scale",
            "subject": "slice:orders",
            "summary": "orders 1.0.0: 2 -> 5 instances",
            "result": {"slice": "orders", "wanted": 5},
            "gate_class": "G0",
            "rule": "low risk for a person",
            "audit": "a1",
            "inverse": {"operation": "slice.scale", "request": {"slice": "orders", "instances": 2}},
            **members,
        }
    )


def proposed(identity: str = "p1") -> Reply:
    document = {
        "outcome": "proposed",
        "proposal": identity,
        "summary": "orders 1.0.0: 2 -> 5 instances",
        "gate_class": "G1",
        "rule": "low risk for an agent",
        "approvers": "one approver",
        "expires_unix_ms": 1_800_000_000_000,
        "revision": 7,
    }
    return Reply(document, 202, {"location": f"/v1/proposals/{identity}"})


def proposal(state: str, identity: str = "p1", votes: int = 0) -> dict[str, object]:
    """A Proposal as plain data."""
    voter = {"kind": "person", "id": "ada", "role": "operator"}
    return {
        "id": identity,
        "call": {"operation": "slice.scale", "request": {"slice": "orders", "instances": 5}},
        "subject": "slice:orders",
        "summary": "orders 1.0.0: 2 -> 5 instances",
        "actor": {"kind": "automation", "id": "bot", "role": "operator", "is_agent": True},
        "gate_class": 1,
        "needs": {"approvers": 1, "role": "operator"},
        "rule": "low risk for an agent",
        "effect": "e" * 64,
        "diff": [{"key": "slice-target/orders/1.0.0", "path": "wanted", "before": 2, "after": 5}],
        "created_unix_ms": 1_700_000_000_000,
        "expires_unix_ms": 1_800_000_000_000,
        "state": state,
        "votes": [{"voter": voter, "approve": True, "reason": "seen", "at_unix_ms": 1}] * votes,
        "ended": "" if state in ("pending", "approved") else state,
    }


Serve = Callable[..., StubApi]
"""What the fixture `serve` gives: starts an API with these replies, and gives it."""
