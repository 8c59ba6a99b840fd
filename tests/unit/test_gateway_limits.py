"""The HTTP front on a real socket: what it refuses, and when it hangs up."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest

from runtime.gateway.connection import Stage
from runtime.gateway.server import AddressTaken, bind
from tests.unit.gateway_parts import Call
from tests.unit.gateway_served import LIMITS, Gateway, gateway, get, post, serving

pytestmark = pytest.mark.anyio

__all__ = ("gateway",)  # a fixture


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (get("/nope"), 404, "route_not_found"),
        (get("/orders/%ff"), 400, "bad_path"),
        (get("/orders/%00"), 400, "bad_path"),
        (b"GET /orders?q=\xe4 HTTP/1.1\r\nhost: a\r\n\r\n", 400, "bad_request"),
        (b"GET /orders/1 HTTP/1.1\r\nhost: a\r\naccept-language: \xff\r\n\r\n", 400, "bad_header"),
        (get("/orders", "x-deadline-ms: soon"), 400, "bad_deadline"),
        (get("/orders", "x-deadline-ms: 0"), 400, "bad_deadline"),
        (get("/" + "a" * 600), 414, "target_too_long"),
        (get("/orders", "x: " + "a" * 3_000), 431, "head_too_large"),
        (get("/orders", *["x: 1"] * 30), 431, "head_too_large"),
        (post(b"x" * 1_001), 413, "body_too_large"),
        (post(b"{}", "content-encoding: gzip"), 415, "encoding_not_supported"),
        (
            b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-encoding: br\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            415,
            "encoding_not_supported",
        ),
        (b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: ten\r\n\r\n", 400, "bad_request"),
        (b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400, "bad_request"),
        (post(b"{}", "transfer-encoding: chunked"), 400, "bad_request"),
        (b"GET /orders HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /orders HTTP/9\r\nhost: a\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
        (b"\0" * 10, 400, "bad_request"),
    ],
)
async def test_bad_input_gets_a_problem_that_says_what_is_wrong(
    gateway: Gateway, request_bytes: bytes, status: int, code: str
) -> None:
    reply = await gateway.ask(request_bytes)
    assert (reply.status, reply.code) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"
    problem = msgspec.json.decode(reply.body)
    assert problem["status"] == status
    assert problem["remedy"]
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert gateway.router.calls.empty()
    assert (await gateway.ask(get("/health/live"))).status == 200


async def test_a_wrong_method_is_told_the_right_ones(gateway: Gateway) -> None:
    reply = await gateway.ask(b"PUT /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_too_large_a_body_is_refused_from_its_length_alone(gateway: Gateway) -> None:
    """Without reading the rest: the refusal comes although no byte of the body was sent."""
    client = await gateway.client()
    reply = await client.ask(b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999999999\r\n\r\n")
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert await client.is_ended()


async def test_too_large_a_chunked_body_is_refused_where_it_passes_the_limit(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(b"POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1_000)
    client.send(b"\r\n1\r\ny\r\n")
    assert (await client.reply()).status == 413
    client.send(b"1\r\nz\r\n" * 100)
    assert await client.is_ended()


async def test_large_bodies_together_have_a_limit_too(gateway: Gateway) -> None:
    slow = [await gateway.client() for _ in range(2)]
    for client in slow:
        client.send(post(b"x" * 1_000)[:-1])
    while gateway.front.bodies_bytes < 1_998:  # noqa: ASYNC110  the bytes arrive when the loop turns
        await asyncio.sleep(0)
    reply = await gateway.ask(post(b"x" * 100))
    assert (reply.status, reply.code) == (503, "overloaded")
    for client in slow:
        client.send(b"x")
        (await gateway.router.calls.get()).reply()
        assert (await client.reply()).status == 200
    assert gateway.front.bodies_bytes == 0


async def test_a_refused_request_with_a_body_leaves_the_connection_usable(gateway: Gateway) -> None:
    gateway.router.at_once = Call.reply
    client = await gateway.client()
    client.send(post(b"x" * 900).replace(b"/orders", b"/missed"))
    assert (await client.reply()).status == 404
    assert (await client.ask(get("/orders"))).status == 200


async def test_a_client_that_waits_for_continue_gets_it(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(post(b"{}", "expect: 100-continue")[:-2])
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"{}")
    (await gateway.router.calls.get()).reply()
    assert (await client.reply()).status == 200


async def test_more_requests_at_once_than_the_limit_are_told_to_come_back() -> None:
    async with serving(msgspec.structs.replace(LIMITS, requests_in_flight_max=1)) as gateway:
        (await gateway.client()).send(get("/orders"))
        await gateway.router.calls.get()
        reply = await gateway.ask(get("/orders"))
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "overloaded", "1")


async def test_more_connections_than_the_limit_are_told_so() -> None:
    async with serving(msgspec.structs.replace(LIMITS, connections_max=1)) as gateway:
        assert (await gateway.ask(get("/health/live"))).status == 200
        refused = await gateway.client()
        assert (await refused.reply()).status == 503
        assert await refused.is_ended()


@pytest.mark.parametrize(
    "start",
    [b"GET /orders HTT", b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n{"],
    ids=["head", "body"],
)
async def test_a_client_that_stalls_is_told_and_ended(start: bytes) -> None:
    async with serving() as gateway:
        client = await gateway.client()
        client.send(start)
        while not gateway.server.connections:  # noqa: ASYNC110  the loop turns until they are there
            await asyncio.sleep(0)
        (connection,) = gateway.server.connections
        while connection.stage is Stage.IDLE:  # noqa: ASYNC110
            await asyncio.sleep(0)
        connection.check(asyncio.get_running_loop().time() + 100)
        assert (await client.reply()).status == 408
        assert await client.is_ended()


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with serving() as gateway:
        client = await gateway.client()
        assert (await client.ask(get("/health/live"))).status == 200
        (connection,) = gateway.server.connections
        connection.check(asyncio.get_running_loop().time() + 100)
        assert await client.is_ended()


async def test_a_draining_gateway_finishes_what_it_has_and_takes_nothing_new(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(get("/orders"))
    call = await gateway.router.calls.get()
    draining = asyncio.ensure_future(gateway.server.drain(5.0))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await gateway.client()
    call.reply()
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert await draining


async def test_a_connection_still_in_the_backlog_when_a_drain_begins_is_served(gateway: Gateway) -> None:
    """Else a rolling restart would reset requests that were sent before it began."""
    gateway.router.at_once = Call.reply
    with socket.create_connection(gateway.server.address) as waiting:  # the loop cannot turn, so nobody accepts it
        waiting.sendall(get("/orders"))
        draining = asyncio.ensure_future(gateway.server.drain(5.0))
        waiting.setblocking(False)
        loop = asyncio.get_running_loop()
        assert (await loop.sock_recv(waiting, 1_000)).startswith(b"HTTP/1.1 200")
        assert await draining


async def test_readiness_follows_the_table_and_the_drain(gateway: Gateway) -> None:
    client = await gateway.client()
    assert (await client.ask(get("/health/ready"))).status == 200
    gateway.front.ready = False
    assert (await client.ask(get("/health/ready"))).headers["retry-after"] == "1"
    gateway.front.draining = True
    assert (await client.ask(get("/health/ready"))).code == "draining"


def test_a_taken_port_is_named_in_the_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressTaken, match=str(port)):
            bind("127.0.0.1", port)
