"""A reply with a status, headers and bytes of one's own, for what JSON cannot say."""

from __future__ import annotations

import msgspec


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What a method with a route may return instead of a typed value. Header names are lower case."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def redirect(location: str, *, status: int = 302) -> Response:
    """Sends the client to `location`. Raises ValueError if it could break out of its header."""
    if not location.isascii() or not location.isprintable():
        raise ValueError("a redirect's location must be printable ASCII; percent-encode the rest")
    return Response(status=status, headers=(("location", location),))
