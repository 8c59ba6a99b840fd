"""Requests over http.client. One connection is kept between requests to one address."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import suppress

from agent_api.client.errors import ApiUnreachable
from agent_api.client.message import ANSWER_BYTES_MAX, HttpReply, HttpRequest, Unreached, cause_of
from runtime.cluster.ports import split_address


class SyncWire:
    """For one thread at a time."""

    def __init__(self) -> None:
        self._address = ""
        self._connection: http.client.HTTPConnection | None = None

    def send(self, address: str, request: HttpRequest) -> HttpReply | Unreached:
        """Over the kept connection if it still stands, else over a new one."""
        if self._connection is not None and self._address == address and _stands(self._connection):
            self._connection.sock.settimeout(request.timeout_s)
        else:
            self.close()
            try:
                self._connection = _connected(address, request.timeout_s)
            except OSError as error:
                return Unreached(cause=cause_of(error), sent=False)
            self._address = address
        return self._exchange(self._connection, request)

    def _exchange(self, connection: http.client.HTTPConnection, request: HttpRequest) -> HttpReply | Unreached:
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have been answered before it was read whole
                connection.request(request.method, request.path, body=request.body, headers=dict(request.headers))
            response = connection.getresponse()
            body = response.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Unreached(cause=cause_of(error), sent=True)
        if len(body) > ANSWER_BYTES_MAX:
            self.close()
            return Unreached(cause=f"the answer has more than {ANSWER_BYTES_MAX} bytes", sent=True)
        if response.will_close or not response.isclosed():
            self.close()
        return HttpReply(status=response.status, reason=response.reason, headers=_headers(response), body=body)

    def stream(self, address: str, request: HttpRequest) -> Iterator[bytes]:
        """The lines of an answer without end, over a connection of its own. Raises ApiRefused or ApiUnreachable."""
        try:
            connection = _connected(address, request.timeout_s)
            connection.request(request.method, request.path, body=request.body or None, headers=dict(request.headers))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnreachable(address, cause_of(error)) from error
        try:
            if response.status >= 400:
                body = response.read(ANSWER_BYTES_MAX)
                fault = HttpReply(status=response.status, reason=response.reason, body=body).fault()
                assert fault is not None
                raise fault
            while line := response.readline():
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnreachable(address, cause_of(error)) from error
        finally:
            connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connected(address: str, timeout_s: float) -> http.client.HTTPConnection:
    """Raises OSError; nothing was sent then."""
    host, port = split_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    connection.connect()
    return connection


def _stands(connection: http.client.HTTPConnection) -> bool:
    """Nothing has come since the last answer: neither the end of the connection nor anything unasked."""
    if connection.sock is None:
        return False
    try:
        connection.sock.settimeout(0)
        connection.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
