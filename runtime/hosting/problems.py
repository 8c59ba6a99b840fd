"""The worker's own RFC 9457 problem documents: for what only the slice's types can tell."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from runtime.errors import RuntimeFault
from runtime.hosting.codec import JSON
from runtime.invocation.http import HttpReply
from runtime.sdk.domain import DomainError

_HEADERS: Final = (("content-type", "application/problem+json"),)
_STATUS: Final = {
    "invalid_arguments": 422,
    "malformed_body": 400,
    "internal": 500,
    "dependency_unavailable": 503,
    "deadline_exceeded": 504,
}


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`fields` are those of a domain error."""

    type: str = msgspec.field(default="about:blank")
    title: str
    status: int
    detail: str
    code: str
    retryable: bool | None = None
    remedy: str = ""
    request_id: str = ""
    fields: dict[str, object] = {}


def fault_reply(fault: RuntimeFault, request_id: str, *, status: int = 0) -> HttpReply:
    """The reply for an error of the runtime."""
    number = status or _STATUS.get(fault.code, 500)
    return _reply(
        ProblemDocument(
            title=_title(number),
            status=number,
            detail=str(fault),
            code=fault.code,
            retryable=fault.retryable,
            remedy=fault.remedy,
            request_id=request_id,
        )
    )


def domain_reply(error: DomainError, request_id: str) -> HttpReply:
    """The reply for a declared domain error: its status, code and fields."""
    return _reply(
        ProblemDocument(
            title=_title(error.status),
            status=error.status,
            detail=str(error),
            code=error.code,
            retryable=error.retryable or None,
            request_id=request_id,
            fields=error.fields(),
        )
    )


def _reply(document: ProblemDocument) -> HttpReply:
    return HttpReply(document.status, _HEADERS, JSON.encode(document))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
