"""An HTTP request and reply as they travel in a frame: the gateway never looks into bodies."""

from __future__ import annotations

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`route` is the index in MethodContract.routes; `path` the parameters in the template's order, decoded."""

    route: int
    path: tuple[str, ...] = ()
    query: str = ""  # as it came, without the question mark
    headers: tuple[tuple[str, str], ...] = ()  # only those the route's contract names, lower case
    body: bytes = b""


class HttpReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
