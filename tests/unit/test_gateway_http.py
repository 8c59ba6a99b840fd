"""The HTTP front on a real socket, spoken to in raw bytes: what it answers, what it refuses, when it hangs up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest

from runtime.gateway.connection import Stage
from runtime.gateway.exchange import Exchange
from runtime.gateway.front import Front
from runtime.gateway.limits import GatewayLimits
from runtime.gateway.server import AddressTaken, HttpServer, bind
from runtime.gateway.tasks import Tasks
from runtime.invocation.errors import (
    CallFault,
    Congested,
    ConnectionLost,
    DeadlineExceeded,
    NoInstance,
    NotStarted,
    RemoteFault,
)
from runtime.invocation.outcome import Outcome
from tests.unit.gateway_parts import Call, FakeRouter, Lines, binding, make_front

pytestmark = pytest.mark.anyio

LIMITS = GatewayLimits(
    body_bytes_max=1_000,
    bodies_bytes_max=2_000,
    head_bytes_max=2_000,
    target_bytes_max=500,
    headers_max=20,
    pipelined_max=2,
)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        return msgspec.json.decode(self.body)["code"]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self, *, bodyless: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        length = 0 if bodyless else int(headers.get("content-length", 0))
        return Reply(int(head[0].split(" ")[1]), headers, await self.reader.readexactly(length))

    async def ask(self, request: bytes, *, bodyless: bool = False) -> Reply:
        self.send(request)
        return await self.reply(bodyless=bodyless)

    async def is_ended(self) -> bool:
        return await self.reader.read(1) == b""


@dataclass
class Gateway:
    front: Front
    server: HttpServer
    router: FakeRouter
    tasks: Tasks
    lines: Lines
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.server.address))
        self.clients.append(client)
        return client

    async def ask(self, request: bytes, *, bodyless: bool = False) -> Reply:
        return await (await self.client()).ask(request, bodyless=bodyless)


ROUTES = (binding("POST", "/orders"), binding("GET", "/orders/{id}", b"accept-language"), binding("GET", "/orders"))


@contextlib.asynccontextmanager
async def serving(limits: GatewayLimits = LIMITS) -> AsyncIterator[Gateway]:
    router, tasks, lines = FakeRouter(), Tasks(), Lines()
    front = make_front(router, *ROUTES, limits=limits, lines=lines)
    gateway = Gateway(front, HttpServer(front, bind("127.0.0.1", 0)), router, tasks, lines)
    await gateway.server.start(tasks)
    try:
        yield gateway
    finally:
        for client in gateway.clients:
            client.writer.close()
        await gateway.server.close()
        await tasks.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving() as running:
        yield running


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: a", *headers, "", ""]).encode()


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /orders HTTP/1.1", "host: a", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_request_goes_to_its_method_and_the_reply_comes_back(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(get("/orders/a%20b?x=1&y", "Accept-Language: de", "cookie: secret"))
    call = await gateway.router.calls.get()
    assert (call.target, call.request.path, call.request.query) == ("orders/place", ("a b",), "x=1&y")
    assert call.request.headers == (("accept-language", "de"),)
    call.reply(201, b'{"ok":true}', ("content-type", "application/json"), ("location", "/orders/1"))
    reply = await client.reply()
    assert (reply.status, reply.body) == (201, b'{"ok":true}')
    assert (reply.headers["content-type"], reply.headers["location"]) == ("application/json", "/orders/1")
    assert "date" in reply.headers


async def test_a_body_arrives_whole_however_it_is_cut(gateway: Gateway) -> None:
    client = await gateway.client()
    for byte in post(b"0123456789"):
        client.send(bytes([byte]))
        await client.writer.drain()
    assert (await gateway.router.calls.get()).request.body == b"0123456789"
    chunked = await gateway.client()
    chunked.send(
        b"POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert (await gateway.router.calls.get()).request.body == b"abcde"


async def test_ids_of_the_client_are_kept_and_come_back(gateway: Gateway) -> None:
    gateway.router.at_once = Call.reply
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    reply = await gateway.ask(get("/orders", "x-request-id: my-id.1", f"traceparent: 00-{trace}-00f067aa0ba902b7-01"))
    assert reply.headers["x-request-id"] == "my-id.1"
    version, trace_id, span_id, flags = reply.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", trace, "01")
    assert span_id != "00f067aa0ba902b7"


@pytest.mark.parametrize("wrong", ["x" * 300, "a b", "", "\xff", "a<script>"])
async def test_a_strange_request_id_is_replaced(gateway: Gateway, wrong: str) -> None:
    """It ends in logs and replies: what comes in must be harmless there."""
    gateway.router.at_once = Call.reply
    reply = await gateway.ask(
        get("/orders").replace(b"\r\n\r\n", f"\r\nx-request-id: {wrong}\r\n\r\n".encode("latin-1"))
    )
    assert reply.headers["x-request-id"] != wrong
    assert reply.headers["x-request-id"].isascii()


async def test_many_requests_share_a_connection(gateway: Gateway) -> None:
    gateway.router.at_once = Call.reply
    client = await gateway.client()
    for _ in range(5):
        assert (await client.ask(get("/orders"))).status == 200


async def test_pipelined_requests_run_one_after_another_and_keep_their_order(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(b"".join(get(f"/orders/{number}") for number in range(20)) + get("/nope"))
    for number in range(20):
        call = await gateway.router.calls.get()
        assert call.request.path == (str(number),)
        assert gateway.router.calls.empty()
        call.reply(200, b"%d" % number)
    assert [(await client.reply()).body for _ in range(20)] == [b"%d" % number for number in range(20)]
    assert (await client.reply()).status == 404


async def test_a_thousand_pipelined_requests_that_fail_at_once_do_not_exhaust_the_stack(gateway: Gateway) -> None:
    gateway.router.at_once = Call.reply
    client = await gateway.client()
    client.send(get("/orders") * 900)
    assert {(await client.reply()).status for _ in range(900)} == {200}


async def test_a_request_leaves_no_reference_cycle_behind(gateway: Gateway) -> None:
    """Cycles would make the garbage collector stop the loop now and then, for a few per cent of its time."""
    client = await gateway.client()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            client.send(get("/orders"))
            (await gateway.router.calls.get()).reply()
            await client.reply()
        assert not [found for found in gc.get_objects() if type(found) is Exchange]
    finally:
        gc.enable()


async def test_head_gets_the_length_without_the_body(gateway: Gateway) -> None:
    gateway.router.at_once = lambda call: call.reply(200, b"12345")
    client = await gateway.client()
    reply = await client.ask(b"HEAD /orders HTTP/1.1\r\nhost: a\r\n\r\n", bodyless=True)
    assert (reply.status, reply.headers["content-length"]) == (200, "5")
    assert (await client.ask(get("/orders"))).body == b"12345"


async def test_no_content_has_neither_body_nor_length(gateway: Gateway) -> None:
    gateway.router.at_once = lambda call: call.reply(204, b"")
    reply = await gateway.ask(get("/orders"))
    assert (reply.status, reply.headers.get("content-length")) == (204, None)


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


async def test_a_client_that_leaves_ends_its_call(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(get("/orders"))
    call = await gateway.router.calls.get()
    client.writer.transport.abort()
    await asyncio.wait_for(call.cancelled.wait(), 5)


async def test_a_reply_to_a_client_that_left_is_dropped(gateway: Gateway) -> None:
    client = await gateway.client()
    client.send(get("/orders"))
    call = await gateway.router.calls.get()
    client.writer.transport.abort()
    await call.cancelled.wait()
    call.reply()
    assert gateway.front.in_flight == 0


async def test_old_clients_and_those_that_say_so_are_closed_after_the_reply(gateway: Gateway) -> None:
    gateway.router.at_once = Call.reply
    for request in (b"GET /orders HTTP/1.0\r\n\r\n", get("/orders", "connection: close")):
        client = await gateway.client()
        assert (await client.ask(request)).headers["connection"] == "close"
        assert await client.is_ended()


async def test_an_offer_to_upgrade_is_answered_as_a_plain_request(gateway: Gateway) -> None:
    """curl --http2 sends one with every request."""
    gateway.router.at_once = Call.reply
    client = await gateway.client()
    reply = await client.ask(get("/orders", "connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: A"))
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert await client.is_ended()


@pytest.mark.parametrize(
    ("status", "headers"),
    [(99, ()), (700, ()), (200, (("bad name", "x"),)), (200, (("x", "a\r\nset-cookie: b"),)), (200, (("x", "a\0"),))],
)
async def test_a_slice_cannot_break_the_message_with_its_reply(
    gateway: Gateway, status: int, headers: tuple[tuple[str, str], ...]
) -> None:
    gateway.router.at_once = lambda call: call.reply(status, b"{}", *headers)
    reply = await gateway.ask(get("/orders"))
    assert (reply.status, reply.code) == (502, "bad_reply")


async def test_a_slice_cannot_set_what_frames_the_message(gateway: Gateway) -> None:
    gateway.router.at_once = lambda call: call.reply(200, b"{}", ("Content-Length", "9"), ("Connection", "close"))
    reply = await gateway.ask(get("/orders"))
    assert (reply.headers["content-length"], reply.headers.get("connection")) == ("2", None)


async def test_a_deadline_is_the_contracts_or_less_by_the_clients_wish(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    for header, expected_s in (("x: 1", 5.0), ("x-deadline-ms: 200", 0.2), ("x-deadline-ms: 999999", 5.0)):
        client = await gateway.client()
        client.send(get("/orders", header))
        call = await gateway.router.calls.get()
        assert call.context.deadline - loop.time() == pytest.approx(expected_s, abs=0.15)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (NoInstance("none"), 503, "no_instance"),
        (NotStarted("full", retry_after_ms=5), 503, "not_started"),
        (Congested("slow peer"), 503, "overloaded"),
        (DeadlineExceeded("5 s"), 504, "deadline_exceeded"),
        (ConnectionLost("reset"), 502, "connection_lost"),
        (RemoteFault(code="internal", detail="internal error 1f"), 500, "internal"),
        (RemoteFault(code="odd", detail="secret"), 500, "internal"),
    ],
)
async def test_a_call_without_a_reply_becomes_a_problem(
    gateway: Gateway, fault: CallFault, status: int, code: str
) -> None:
    gateway.router.at_once = lambda call: call.fail(fault)
    reply = await gateway.ask(get("/orders", "x-request-id: r1"))
    assert (reply.status, reply.code) == (status, code)
    assert ("retry-after" in reply.headers) == (status == 503)
    assert b"secret" not in reply.body
    ((event, fields),) = gateway.lines.written
    assert (event, fields["request_id"], fields["status"]) == ("request_served", "r1", status)


async def test_a_reply_that_is_none_is_a_problem_too(gateway: Gateway) -> None:
    gateway.router.at_once = lambda call: call.done(Outcome(b"\xc1"))
    assert (await gateway.ask(get("/orders"))).code == "bad_reply"


async def test_an_outage_does_not_fill_the_log(gateway: Gateway) -> None:
    gateway.router.at_once = lambda call: call.fail(NoInstance("none"))
    client = await gateway.client()
    for _ in range(60):
        await client.ask(get("/orders"))
    assert len(gateway.lines.written) == 50
    gateway.server.check()
    assert gateway.lines.written[-1] == ("request_lines_suppressed", {"count": 10})


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
