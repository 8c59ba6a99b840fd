"""Replies as bytes. What repeats is rendered once: a status with its headers, and the date of this second."""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.gateway.exchange import Exchange, Headers

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
PREFIXES_MAX: Final = 512  # distinct (status, headers) kept; replies with a header of their own each are rendered anew
HEADERS_MAX: Final = 64
HEADER_BYTES_MAX: Final = 32 * 1024

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_OURS: Final = frozenset(
    ("connection", "content-length", "date", "keep-alive", "trailer", "transfer-encoding", "upgrade")
) | {"traceparent", "x-request-id"}
_BODYLESS: Final = frozenset((204, 205, 304))


class ReplyInvalid(Exception):
    """A slice's reply that cannot go into an HTTP message; the text says why."""


class Renderer:
    """Holds the rendered parts. `tick` keeps the date current."""

    __slots__ = ("_date", "_prefixes")

    def __init__(self, unix_s: float) -> None:
        self._prefixes: dict[tuple[int, Headers], bytes] = {}
        self._date = b""
        self.tick(unix_s)

    def tick(self, unix_s: float) -> None:
        """To be called each second."""
        self._date = formatdate(unix_s, usegmt=True).encode()

    def prefix(self, status: int, headers: Headers) -> bytes:
        """Status line and headers, checked. Raises ReplyInvalid."""
        key = (status, headers)
        known = self._prefixes.get(key)
        if known is None:
            known = _prefix(status, headers)
            if len(self._prefixes) < PREFIXES_MAX:
                self._prefixes[key] = known
        return known

    def head(self, exchange: Exchange, *, close: bool) -> bytes:
        """All before the body. Needs `exchange.prefix`."""
        context = exchange.context
        return b"%bdate: %b\r\nx-request-id: %b\r\ntraceparent: %b\r\n%b%b\r\n" % (
            exchange.prefix,
            self._date,
            context.request_id.encode(),
            context.traceparent().encode(),
            b"" if exchange.status in _BODYLESS else b"content-length: %d\r\n" % len(exchange.body),
            b"connection: close\r\n" if close else b"",
        )


def carries_body(exchange: Exchange) -> bool:
    return not exchange.head_only and exchange.status not in _BODYLESS and bool(exchange.body)


def _prefix(status: int, headers: Headers) -> bytes:
    if not 200 <= status <= 599:
        raise ReplyInvalid(f"status {status} is not between 200 and 599")
    if len(headers) > HEADERS_MAX:
        raise ReplyInvalid(f"{len(headers)} headers are more than {HEADERS_MAX}")
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, _phrase(status))]
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ReplyInvalid(f"{name!r} is not a header name")
        if not _VALUE.fullmatch(value):
            raise ReplyInvalid(f"the value of header {name!r} holds control characters")
        if name.lower() not in _OURS:
            lines.append(b"%b: %b\r\n" % (name.lower().encode(), value.encode("utf-8", "replace")))
    prefix = b"".join(lines)
    if len(prefix) > HEADER_BYTES_MAX:
        raise ReplyInvalid(f"headers of {len(prefix)} bytes are more than {HEADER_BYTES_MAX}")
    return prefix


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Status"
