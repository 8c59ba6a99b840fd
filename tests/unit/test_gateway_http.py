"""The HTTP front on a real socket: what it passes on, and what it answers."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from runtime.gateway.exchange import Exchange
from runtime.gateway.routes import RouteTable
from runtime.invocation.errors import (
    CallFault,
    Congested,
    ConnectionLost,
    DeadlineExceeded,
    MessageTooLarge,
    NoInstance,
    NoReply,
    NotStarted,
    RemoteFault,
)
from runtime.invocation.outcome import Outcome
from tests.unit.gateway_parts import Call, binding
from tests.unit.gateway_served import Gateway, gateway, get, post

pytestmark = pytest.mark.anyio

__all__ = ("gateway",)  # a fixture


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


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (NoInstance("none"), "rejected"),
        (NoReply("no reply before the deadline"), "lost"),
        (ConnectionLost("reset"), "lost"),
        (RemoteFault(code="internal", detail="a bug"), "error"),
    ],
)
async def test_a_call_without_a_reply_is_counted_as_one_that_nobody_else_may_count(
    gateway: Gateway, fault: CallFault, ending: str
) -> None:
    gateway.router.at_once = lambda call: call.fail(fault)
    await gateway.ask(get("/orders"))
    ((_, meter),) = gateway.meters.meters.items()
    assert meter.endings == [ending]


async def test_a_body_that_no_connection_takes_is_the_clients_mistake(gateway: Gateway) -> None:
    gateway.router.at_once = lambda call: call.fail(MessageTooLarge("17 MiB"))
    reply = await gateway.ask(get("/orders"))
    assert (reply.status, reply.code) == (413, "body_too_large")


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


@pytest.mark.parametrize(("slow_us", "flags", "lines"), [(0, "00", 1), (10**9, "00", 0), (10**9, "01", 1)])
async def test_a_request_is_logged_once_it_takes_longer_than_its_slices_setting_says_or_its_trace_is_sampled(
    gateway: Gateway, slow_us: int, flags: str, lines: int
) -> None:
    gateway.front.apply(RouteTable([replace(binding("GET", "/orders"), slow_us=slow_us)]))
    gateway.router.at_once = lambda call: call.reply()
    told = f"traceparent: 00-{'1' * 32}-{'2' * 16}-{flags}"
    assert (await gateway.ask(get("/orders", told))).status == 200
    assert len(gateway.lines.written) == lines
