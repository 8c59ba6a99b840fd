"""Connections over real Unix sockets and real TLS: calls, streams, cancellation, limits, and who may connect."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.errors import RuntimeFault
from runtime.invocation import dispatch
from runtime.invocation.connection import Connection
from runtime.invocation.context import CallContext
from runtime.invocation.errors import (
    ConnectionLost,
    DeadlineExceeded,
    MessageTooLarge,
    NotStarted,
    PeerRefused,
    RemoteFault,
)
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.link import Link
from runtime.invocation.listener import Listener, connect_tls, connect_unix, serve_tls, serve_unix
from runtime.invocation.outcome import Outcome
from runtime.invocation.streams import ITEM_BYTES_MAX
from runtime.security.authority import Authority, issue_node
from runtime.security.tls import client_context, server_context

pytestmark = pytest.mark.anyio


class TeaIsOut(RuntimeFault):
    code, retryable, remedy = "tea_is_out", True, "Order more."


class Side:
    """A server with handlers that tests can look into."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.written = 0
        self.seen: list[CallContext] = []
        self.handlers = Handlers(
            unary={"a/echo": self.echo, "a/hang": self.hang, "a/boom": self.boom, "a/tea": self.tea, "a/no": self.no},
            streams={"a/count": self.count},
            failed=lambda _call, _correlation, _error: None,
        )

    async def echo(self, call: IncomingCall) -> bytes:
        self.seen.append(call.context)
        return call.payload

    async def hang(self, _call: IncomingCall) -> bytes:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""

    async def boom(self, _call: IncomingCall) -> bytes:
        raise ValueError("a secret of the handler")

    async def tea(self, _call: IncomingCall) -> bytes:
        raise TeaIsOut("no tea")

    async def no(self, _call: IncomingCall) -> bytes:
        raise NotStarted("full", retry_after_ms=70)

    async def count(self, call: IncomingCall) -> AsyncIterator[bytes]:
        try:
            for number in range(int(call.payload)):
                self.written = number
                yield str(number).encode() + bytes(1_000)
        finally:
            self.cancelled.set()


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[tuple[Connection, Side, Listener]]:
    side = Side()
    listener = await serve_unix(tmp_path / "s.sock", side.handlers)
    connection = await connect_unix(tmp_path / "s.sock")
    try:
        yield connection, side, listener
    finally:
        await connection.close()
        await listener.close()


async def test_a_call_comes_back_with_its_reply_and_carries_its_context(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, side, _):
        context = CallContext.root(asyncio.get_running_loop().time() + 5)
        context.principal = "ada"
        assert await connection.call("a/echo", b"tea", context=context) == b"tea"
        (seen,) = side.seen
        assert (seen.trace_id, seen.request_id, seen.principal) == (context.trace_id, context.request_id, "ada")
        assert seen.deadline <= context.deadline + 0.05


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
async def test_payloads_of_any_size_come_back_whole(tmp_path: Path, size: int) -> None:
    async with connected(tmp_path) as (connection, _, _):
        payload = bytes(range(256)) * (size // 256 + 1)
        assert await connection.call("a/echo", payload[:size]) == payload[:size]


async def test_small_calls_get_past_a_large_one(tmp_path: Path) -> None:
    """A large upload must not make everybody else wait until it is over."""
    async with connected(tmp_path) as (connection, _, _):
        large = asyncio.ensure_future(connection.call("a/echo", bytes(15_000_000)))
        await asyncio.sleep(0)
        assert await connection.call("a/echo", b"small") == b"small"
        assert not large.done()
        assert len(await large) == 15_000_000


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, _, _):
        with pytest.raises(MessageTooLarge, match="limit"):
            await connection.call("a/echo", bytes(17_000_000))


async def test_an_error_on_purpose_arrives_with_code_and_remedy(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, _, _):
        with pytest.raises(RemoteFault) as caught:
            await connection.call("a/tea")
        assert (caught.value.code, caught.value.retryable, caught.value.remedy) == ("tea_is_out", True, "Order more.")


async def test_an_unforeseen_error_tells_the_caller_nothing_but_a_correlation_id(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, _, _):
        with pytest.raises(RemoteFault) as caught:
            await connection.call("a/boom")
        assert caught.value.code == "internal"
        assert "secret" not in str(caught.value)


async def test_a_nack_and_an_unknown_target_say_that_nothing_ran(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, _, _):
        with pytest.raises(NotStarted) as caught:
            await connection.call("a/no")
        assert caught.value.retry_after_ms == 70
        with pytest.raises(NotStarted):
            await connection.call("nobody/home")


async def test_a_deadline_ends_the_call_here_and_the_handler_there(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, side, _):
        with pytest.raises(DeadlineExceeded):
            await connection.call("a/hang", deadline_s=0.05)
        await asyncio.wait_for(side.cancelled.wait(), 5)


async def test_a_call_that_was_given_up_cancels_its_handler(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, side, listener):
        call = asyncio.ensure_future(connection.call("a/hang"))
        await asyncio.wait_for(side.started.wait(), 5)
        call.cancel()
        await asyncio.wait_for(side.cancelled.wait(), 5)
        await connection.ping()
        assert [each.handling for each in listener.connections] == [0]


async def test_calls_in_progress_end_as_lost_when_the_connection_does(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, side, listener):
        call = asyncio.ensure_future(connection.call("a/hang"))
        await asyncio.wait_for(side.started.wait(), 5)
        for each in tuple(listener.connections):
            each.abort("cut")
        with pytest.raises(ConnectionLost):
            await call
        with pytest.raises(NotStarted):
            await connection.call("a/echo")


async def test_a_call_whose_frame_never_left_did_not_start(tmp_path: Path) -> None:
    """It may be tried elsewhere even if it is not idempotent."""
    async with connected(tmp_path) as (connection, side, _):
        call = asyncio.ensure_future(connection.call("a/echo", b"x"))
        await asyncio.sleep(0)  # queued, not yet flushed
        connection.abort("cut")
        with pytest.raises(NotStarted):
            await call
        assert side.seen == []


async def test_after_goaway_nothing_new_starts_and_what_runs_goes_on(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, side, listener):
        call = asyncio.ensure_future(connection.call("a/hang", deadline_s=0.5))
        await asyncio.wait_for(side.started.wait(), 5)
        listener.goaway()
        await connection.ping()
        assert connection.leaving
        with pytest.raises(NotStarted, match="leaving"):
            await connection.call("a/echo")
        with pytest.raises(DeadlineExceeded):
            await call


async def test_a_stream_gives_all_items_in_order(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, _, _):
        items = [int(item.rstrip(b"\0")) async for item in connection.stream("a/count", b"3000")]
        assert items == list(range(3_000))


async def test_a_slow_reader_slows_the_writer_and_nobody_else(tmp_path: Path) -> None:
    """Unread items must not pile up: the writer stops after about a window of 1 MiB."""
    async with connected(tmp_path) as (connection, side, _):
        stream = connection.stream("a/count", b"100000")
        assert await anext(stream)
        for _ in range(50):
            await connection.ping()
        assert side.written < 3_000
        await stream.aclose()
        await asyncio.wait_for(side.cancelled.wait(), 5)


async def test_a_writer_that_does_not_wait_for_credit_is_cut_off(tmp_path: Path) -> None:
    """What a reader has not taken is bounded here too, whatever the other side does."""
    async with connected(tmp_path) as (connection, side, _):

        async def flood(call: IncomingCall) -> AsyncIterator[bytes]:
            assert call.connection is not None
            for _ in range(20):
                call.connection.send_chunk(call.call_id, bytes(ITEM_BYTES_MAX))
            yield b"last"

        side.handlers.streams["a/flood"] = flood
        stream = connection.stream("a/flood")
        await asyncio.wait_for(connection.wait_closed(), 5)
        assert "credit" in connection.close_reason
        with pytest.raises(ConnectionLost):
            [item async for item in stream]


async def test_an_error_too_large_for_a_frame_ends_its_own_call_and_no_other(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, side, _):

        async def verbose(_call: IncomingCall) -> bytes:
            raise RemoteFault(code="domain:verbose", detail="see the fields", payload=bytes(3_000_000))

        side.handlers.unary["a/verbose"] = verbose
        other = asyncio.ensure_future(connection.call("a/hang", deadline_s=5))
        await asyncio.wait_for(side.started.wait(), 5)
        with pytest.raises(RemoteFault, match="2 MiB") as caught:
            await connection.call("a/verbose")
        assert caught.value.code == "reply_too_large"
        assert not other.done()
        other.cancel()


async def test_calls_beyond_what_one_side_takes_are_told_that_they_did_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "FORWARDED_MAX", 2)
    async with connected(tmp_path) as (connection, side, _):
        taken: list[IncomingCall] = []
        side.handlers.raw = taken.append
        calls = [asyncio.ensure_future(connection.call("b/any", bytes((number,)))) for number in range(3)]
        with pytest.raises(NotStarted, match="too many"):
            await calls[2]
        for call in taken:
            call.finish(Outcome(call.payload))
        assert [await call for call in calls[:2]] == [b"\0", b"\1"]
        assert await connection.call("a/echo", b"again") == b"again"


async def test_bytes_that_are_no_frames_close_the_connection_at_once(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, _, listener):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s.sock"))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert len(listener.connections) == 1


async def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async with connected(tmp_path):
        assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o600


async def test_processes_of_another_user_get_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as clients nor, where somebody put a socket in the place of ours, as servers."""
    async with connected(tmp_path) as (connection, _, listener):
        await connection.ping()
        monkeypatch.setattr(os, "getuid", lambda: 4_242)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s.sock"))
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert len(listener.connections) == 1
        with pytest.raises(PeerRefused, match="may not connect"):
            await connect_unix(tmp_path / "s.sock")


async def test_a_link_comes_back_after_its_server_did(tmp_path: Path) -> None:
    side = Side()
    path = tmp_path / "s.sock"
    link = Link(lambda: connect_unix(path), name="test").start()
    with pytest.raises(NotStarted, match="no connection to test"):
        await link.connection(deadline_s=0.05)
    for _ in range(2):
        listener = await serve_unix(path, side.handlers)
        assert await link.call("a/echo", b"again") == b"again"
        await listener.close()
    await link.close()


def certificates(base: Path, *nodes: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    (base / "ca").mkdir()
    authority = Authority.create(base / "ca", "test", now_unix_ms=now_ms)
    for node in nodes:
        (base / node).mkdir()
        issue_node(authority, base / node, node, now_unix_ms=now_ms)


@asynccontextmanager
async def tls_server(tmp_path: Path, **options: object) -> AsyncIterator[tuple[int, Side]]:
    side = Side()
    listener = await serve_tls("127.0.0.1", 0, server_context(tmp_path / "n1"), side.handlers, **options)  # type: ignore[arg-type]
    assert listener._server is not None
    port = listener._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield port, side
    finally:
        await listener.close()


async def test_nodes_know_each_other_by_certificate(tmp_path: Path) -> None:
    certificates(tmp_path, "n1", "n2")
    async with tls_server(tmp_path) as (port, side):
        connection = await connect_tls("127.0.0.1", port, client_context(tmp_path / "n2"), "n1")
        assert connection.peer == "n1"
        assert await connection.call("a/echo", b"x" * 200_000) == b"x" * 200_000
        assert side.seen
        await connection.close()


async def test_another_node_than_the_expected_one_is_refused(tmp_path: Path) -> None:
    certificates(tmp_path, "n1", "n2")
    async with tls_server(tmp_path) as (port, _):
        with pytest.raises(PeerRefused, match="not 'n3'"):
            await connect_tls("127.0.0.1", port, client_context(tmp_path / "n2"), "n3")


async def test_a_certificate_of_another_cluster_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    certificates(tmp_path / "ours", "n1")
    certificates(tmp_path / "theirs", "n2")
    async with tls_server(tmp_path / "ours") as (port, side):
        with pytest.raises((PeerRefused, NotStarted)):
            await connect_tls("127.0.0.1", port, client_context(tmp_path / "theirs" / "n2"), "n1")
        assert side.seen == []


async def test_a_peer_without_a_certificate_gets_no_answer(tmp_path: Path) -> None:
    certificates(tmp_path, "n1")
    async with tls_server(tmp_path) as (port, side):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((PeerRefused, NotStarted, ConnectionLost, RemoteFault)):
            connection = await connect_tls("127.0.0.1", port, context, None)
            await connection.call("a/echo", b"x", deadline_s=1)
        assert side.seen == []


async def test_a_node_that_is_not_allowed_is_turned_away(tmp_path: Path) -> None:
    certificates(tmp_path, "n1", "n2")
    async with tls_server(tmp_path, allowed=lambda node: node != "n2") as (port, side):
        connection = await connect_tls("127.0.0.1", port, client_context(tmp_path / "n2"), "n1")
        with pytest.raises((NotStarted, ConnectionLost)):
            await connection.call("a/echo", b"x")
        assert side.seen == []
