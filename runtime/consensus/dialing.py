"""Where a member's store listens, as the group's log says it: checked when it is added, and dialled."""

from __future__ import annotations

import ssl

from runtime.cluster.ports import AddressInvalid, split_address
from runtime.consensus.errors import InvalidRequest
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.invocation.listener import CONNECT_S, connect_tls


def check_address(address: str) -> None:
    """Raises InvalidRequest."""
    try:
        _, port = split_address(address)
    except AddressInvalid as error:
        raise InvalidRequest(f"{error}: write HOST:PORT") from error
    if not port:
        raise InvalidRequest(f"{address!r} names no port: write HOST:PORT")


async def connect_member(
    node: str, address: str, context: ssl.SSLContext, *, connect_s: float = CONNECT_S
) -> Connection:
    """Raises CallFault."""
    try:
        host, port = split_address(address)
    except AddressInvalid as error:
        raise NotStarted(f"{node} cannot be reached: {error}") from error
    return await connect_tls(host, port, context, node, connect_s=connect_s)
