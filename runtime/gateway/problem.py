"""Refusals of the HTTP front, as RFC 9457 problem documents: one table from code to status, title and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

PROBLEM_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a refusal. `code` is stable and for programs, `detail` is a sentence for people."""

    type: str = msgspec.field(default="about:blank")
    title: str
    status: int
    detail: str
    code: str
    retryable: bool | None = None
    remedy: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all refusals with one code have in common. `closes` ends the connection: what follows cannot be trusted."""

    status: int
    title: str
    retryable: bool
    remedy: str
    closes: bool = False


KINDS: Final[dict[str, Kind]] = {
    "bad_request": Kind(400, "Bad request", False, "send a well-formed HTTP/1.1 request", closes=True),
    "bad_path": Kind(400, "Bad path", False, "percent-encode the path as UTF-8"),
    "bad_header": Kind(400, "Bad header", False, "send header values as UTF-8 text"),
    "bad_deadline": Kind(400, "Bad deadline", False, "send x-deadline-ms as a whole number above 0"),
    "route_not_found": Kind(404, "Not found", False, "check the path; GET /v1/routes of the API lists the routes"),
    "method_not_allowed": Kind(405, "Method not allowed", False, "use a method from the Allow header"),
    "request_timeout": Kind(408, "Request timeout", True, "send the whole request without long pauses", closes=True),
    "body_too_large": Kind(413, "Content too large", False, "send a smaller body", closes=True),
    "target_too_long": Kind(414, "URI too long", False, "shorten path and query", closes=True),
    "encoding_not_supported": Kind(415, "Unsupported media type", False, "send the body without content-encoding"),
    "head_too_large": Kind(431, "Request header fields too large", False, "send fewer or shorter headers", closes=True),
    "internal": Kind(500, "Internal error", False, "search the logs for the request id"),
    "bad_reply": Kind(502, "Bad reply", False, "search the logs for the request id"),
    "connection_lost": Kind(
        502, "Instance lost", False, "the call may have run: check before you send it again, or make it idempotent"
    ),
    "overloaded": Kind(503, "Overloaded", True, "retry after the time given"),
    "no_instance": Kind(503, "No instance", True, "retry after the time given"),
    "not_started": Kind(503, "Not started", True, "retry after the time given; the call has not run"),
    "draining": Kind(503, "Leaving", True, "retry on another node", closes=True),
    "deadline_exceeded": Kind(504, "Deadline exceeded", False, "check whether it took effect, or allow more time"),
}


class Refused(Exception):
    """Ends a request with a refusal. `headers` are extra reply headers."""

    def __init__(self, code: str, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.code = code
        self.headers = headers


def body_of(code: str, detail: str, request_id: str, *, remedy: str = "") -> bytes:
    kind = KINDS[code]
    return msgspec.json.encode(
        Problem(
            title=kind.title,
            status=kind.status,
            detail=detail,
            code=code,
            retryable=kind.retryable,
            remedy=remedy or kind.remedy,
            request_id=request_id,
        )
    )
