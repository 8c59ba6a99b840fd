"""What comes over the socket before any request is one: heads and targets without end, and what is no HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from agent_api.control_api.front import HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX
from tests.operate.api_server import Served, served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as found:
        yield found


def said(server: Served, raw: bytes) -> tuple[int, dict[str, object], bytes]:
    """Status, problem and what came behind it, up to the connection's end."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(raw)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return int(head[9:12]), json.loads(body[:length]), body[length:]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: " + b"a" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: a\r\n" * (HEADERS_MAX + 1) + b"\r\n",
        b"GET /" + b"a" * (TARGET_BYTES_MAX + 1) + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_a_problem_and_its_connection_ends(server: Served, raw: bytes) -> None:
    status, problem, behind = said(server, raw)
    assert (status, problem["code"], behind) == (400, "bad_request", b"")


def test_a_head_without_an_end_is_not_kept(server: Served) -> None:
    """Memory would go before any limit of the application is asked."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n")
        with pytest.raises(OSError, match=r"reset|pipe|aborted"):
            for _ in range(10_000):
                connection.sendall(b"x: " + b"a" * 1_000 + b"\r\n")


def test_the_largest_head_that_may_be_is_heard(server: Served) -> None:
    filling = b"x: " + b"a" * (HEAD_BYTES_MAX - 200) + b"\r\n"
    status, problem, _ = said(server, b"GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + filling + b"\r\n")
    assert (status, problem["code"]) == (404, "not_found")
