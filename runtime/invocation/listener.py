"""Opening connections: Unix sockets within a node, mutual TLS between nodes; the peer is checked on both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runtime.cluster.layout import SOCKET_PATH_BYTES_MAX
from runtime.invocation.connection import Connection
from runtime.invocation.errors import AddressUnusable, NotStarted, PeerRefused
from runtime.invocation.incoming import Handlers

CONNECT_S: Final = 3.0
BACKLOG: Final = 512
_UCRED: Final = struct.Struct("3i")

Opened = Callable[[Connection], None]


class Listener:
    """A listening socket and the connections that came in over it."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.address = ""
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None

    async def close(self) -> None:
        """Stops listening and closes what came in."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for connection in tuple(self.connections):
            await connection.close()

    def goaway(self) -> None:
        for connection in self.connections:
            connection.goaway()

    def _factory(
        self, handlers: Handlers, admit: Callable[[asyncio.Transport], str], opened: Opened | None
    ) -> Callable[[], Connection]:
        def entered(connection: Connection) -> None:
            self.connections.add(connection)
            connection.on_lost = self.connections.discard
            if opened is not None:
                opened(connection)

        return lambda: Connection(handlers, admit=admit, opened=entered)


async def serve_unix(path: Path, handlers: Handlers, *, on_connection: Opened | None = None) -> Listener:
    """Listens with mode 0600; only this user's processes get in. Raises AddressUnusable."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise AddressUnusable(f"socket path longer than {SOCKET_PATH_BYTES_MAX} bytes: {path}")
    listener = Listener()
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listener._server = await asyncio.get_running_loop().create_unix_server(
            listener._factory(handlers, _uid_of, on_connection), str(path), backlog=BACKLOG
        )
    except OSError as error:
        raise AddressUnusable(f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(mask)
    listener._path = path
    listener.address = str(path)
    return listener


async def serve_tls(
    host: str,
    port: int,
    context: ssl.SSLContext,
    handlers: Handlers,
    *,
    on_connection: Opened | None = None,
    allowed: Callable[[str], bool] | None = None,
) -> Listener:
    """Listens for nodes of the cluster; `allowed` may refuse some of them by node id. Raises AddressUnusable."""

    def admit(transport: asyncio.Transport) -> str:
        node = _common_name(transport)
        if allowed is not None and not allowed(node):
            raise PeerRefused(f"node {node!r} is not welcome here")
        return node

    listener = Listener()
    try:
        listener._server = await asyncio.get_running_loop().create_server(
            listener._factory(handlers, admit, on_connection), host, port, ssl=context, backlog=BACKLOG
        )
    except OSError as error:
        raise AddressUnusable(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.address = f"{host}:{port}"
    return listener


async def connect_unix(
    path: Path, handlers: Handlers | None = None, *, on_lost: Opened | None = None, connect_s: float = CONNECT_S
) -> Connection:
    """Raises NotStarted while nobody listens, PeerRefused when another user does."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise AddressUnusable(f"socket path longer than {SOCKET_PATH_BYTES_MAX} bytes: {path}")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s):
            _, connection = await loop.create_unix_connection(lambda: Connection(handlers, admit=_uid_of), str(path))
    except (OSError, TimeoutError) as error:
        raise NotStarted(f"cannot connect to {path.name}: {str(error) or 'no answer in time'}") from error
    return _checked(connection, on_lost)


async def connect_tls(
    host: str,
    port: int,
    context: ssl.SSLContext,
    expected_node: str | None,
    handlers: Handlers | None = None,
    *,
    on_lost: Opened | None = None,
    connect_s: float = CONNECT_S,
) -> Connection:
    """Raises NotStarted while nobody listens, PeerRefused when it is not the expected node."""

    def admit(transport: asyncio.Transport) -> str:
        node = _common_name(transport)
        if expected_node is not None and node != expected_node:
            raise PeerRefused(f"{host}:{port} is node {node!r}, not {expected_node!r}")
        return node

    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(handlers, admit=admit), host, port, ssl=context, server_hostname=""
            )
    except ssl.SSLError as error:
        raise PeerRefused(f"{host}:{port} is not of this cluster: {error.reason or error}") from error
    except (OSError, TimeoutError) as error:
        raise NotStarted(f"cannot connect to {host}:{port}: {str(error) or 'no answer in time'}") from error
    return _checked(connection, on_lost)


def _checked(connection: Connection, on_lost: Opened | None) -> Connection:
    if not connection.is_open or not connection.peer:
        raise PeerRefused(connection.close_reason or "the peer closed the connection")
    connection.on_lost = on_lost
    return connection


def _uid_of(transport: asyncio.Transport) -> str:
    sock: socket.socket = transport.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid != os.getuid():
        raise PeerRefused(f"user {uid} may not connect")
    return f"uid:{uid}"


def _common_name(transport: asyncio.Transport) -> str:
    with contextlib.suppress(OSError, AttributeError):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    certificate = transport.get_extra_info("peercert") or {}
    for attributes in certificate.get("subject", ()):
        for name, value in attributes:
            if name == "commonName":
                return str(value)
    raise PeerRefused("the peer showed no certificate with a name")
