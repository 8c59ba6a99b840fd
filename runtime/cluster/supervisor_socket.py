"""The supervisor's Unix socket: JSON lines, requests of the same user only, one loop and no threads.

Standard library only.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

LINE_BYTES_MAX: Final = 64 * 1024  # a start request with its arguments has about 1 KiB
BACKLOG_BYTES_MAX: Final = 1024 * 1024  # a subscriber that reads nothing is disconnected
CONNECTIONS_MAX: Final = 64

Reply = dict[str, object]
Handle = Callable[[int, dict[str, object]], Reply | None]
"""(connection, request) → the answer, or None when it comes later through `send`."""


class _Connection:
    __slots__ = ("incoming", "outgoing", "socket", "subscribed")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.incoming = b""
        self.outgoing = b""
        self.subscribed = False


class SupervisorSocket:
    """Listens, splits lines, and writes without ever blocking the supervisor."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, handle: Handle) -> None:
        self._selector = selector
        self._handle = handle
        self._connections: dict[int, _Connection] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        previous = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(previous)
        self._listener.listen(CONNECTIONS_MAX)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        for number in list(self._connections):
            self._drop(number)
        self._selector.unregister(self._listener)
        self._listener.close()

    def subscribe(self, number: int) -> None:
        """That connection gets every event from now on."""
        self._connections[number].subscribed = True

    def publish(self, event: Reply) -> None:
        for number in [number for number, connection in self._connections.items() if connection.subscribed]:
            self.send(number, event)

    def send(self, number: int, message: Reply) -> None:
        """Queues a line; a connection that is gone is no error."""
        connection = self._connections.get(number)
        if connection is None:
            return
        connection.outgoing += json.dumps(message).encode() + b"\n"
        self._write(number)

    def _accept(self, _events: int) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # the client was gone already
            return
        _, uid, _ = struct.unpack("3i", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid() or len(self._connections) >= CONNECTIONS_MAX:
            accepted.close()
            return
        accepted.setblocking(False)
        number = accepted.fileno()
        self._connections[number] = _Connection(accepted)
        self._selector.register(accepted, selectors.EVENT_READ, lambda events: self._ready(number, events))

    def _ready(self, number: int, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write(number)
        if events & selectors.EVENT_READ and number in self._connections:
            self._read(number)

    def _read(self, number: int) -> None:
        connection = self._connections[number]
        try:
            received = connection.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._drop(number)
            return
        *lines, connection.incoming = (connection.incoming + received).split(b"\n")
        for line in lines:
            self._answer(number, line)
        if len(connection.incoming) > LINE_BYTES_MAX:
            self.send(number, {"ok": False, "error": f"a request has at most {LINE_BYTES_MAX} bytes"})
            self._drop(number)

    def _answer(self, number: int, line: bytes) -> None:
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            self.send(number, {"ok": False, "error": 'a request is one line of JSON: {"op": "list"}'})
            return
        reply = self._handle(number, request)
        if reply is not None:
            self.send(number, reply)

    def _write(self, number: int) -> None:
        connection = self._connections[number]
        try:
            sent = connection.socket.send(connection.outgoing) if connection.outgoing else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(number)
            return
        connection.outgoing = connection.outgoing[sent:]
        if len(connection.outgoing) > BACKLOG_BYTES_MAX:
            self._drop(number)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.outgoing else 0)
        key = self._selector.get_key(connection.socket)
        if key.events != wanted:
            self._selector.modify(connection.socket, wanted, key.data)

    def _drop(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is not None:
            self._selector.unregister(connection.socket)
            connection.socket.close()
