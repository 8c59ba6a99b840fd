"""The gateway as a process: tables over its socket, HTTP through it to workers here and on other nodes, its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from runtime.clock import SystemClock
from runtime.gateway.verbs import DRAIN, STATS, DrainReply, DrainRequest
from runtime.hosting.ports import InstanceSettings
from runtime.hosting.remote import RemoteInstanceHost
from runtime.invocation.connection import Connection
from runtime.invocation.context import CallContext
from runtime.invocation.errors import NotStarted, PeerRefused, RemoteFault
from runtime.invocation.incoming import IncomingCall
from runtime.invocation.listener import connect_tls, connect_unix
from runtime.invocation.table import InstanceRow
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node
from runtime.security.tls import client_context
from runtime.telemetry import lines
from tests.cluster.gateway_node import ECHO, GatewayNode, ask, gateway_nodes, say
from tests.cluster.worker_node import write_artifact

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HERE = InstanceRow("echo", "1.0.0", "n1", 1, 100, "w-1")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[GatewayNode]:
    async with gateway_nodes(tmp_path, 1) as (one,):
        await one.start()
        yield one


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[GatewayNode, GatewayNode]]:
    async with gateway_nodes(tmp_path, 2) as (one, other):
        await asyncio.gather(one.start(), other.start())
        yield one, other


async def test_a_request_passes_the_gateway_to_a_worker_and_back(node: GatewayNode) -> None:
    assert not await node.is_live(), "without routes it takes no connection"
    await node.worker("w-1", say)
    assert (await node.push(1, HERE)).unreachable == ()
    assert (await ask(node.http, "GET", "/health/ready")).status == 200
    answer = await ask(node.http, "POST", "/say", b"hello", "x-request-id: r-1")
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, b"hello", "r-1")
    assert answer.headers["x-seen-id"] == "r-1"
    assert answer.headers["traceparent"].split("-")[1] == answer.headers["x-seen-trace"]
    assert (await ask(node.http, "GET", "/say/gr%C3%BC%C3%9F")).body.decode() == "grüß"
    await node.push(2)
    assert (await ask(node.http, "POST", "/say", b"hello")).status == 404


async def test_a_request_reaches_a_worker_of_another_node(pair: tuple[GatewayNode, GatewayNode]) -> None:
    one, other = pair
    await other.worker("w-1", say)
    row = InstanceRow("echo", "1.0.0", "n2", 7)
    await other.push(1, msgspec.structs.replace(row, worker="w-1"), peers=(one.peer,))
    await one.push(1, row, peers=(other.peer,))
    body = os.urandom(300_000)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for _ in range(3):
        ids = ("x-request-id: far", f"traceparent: 00-{trace}-00f067aa0ba902b7-01")
        answer = await ask(one.http, "POST", "/say", body, *ids)
        assert (answer.status, answer.body) == (200, body)
        assert (answer.headers["x-seen-id"], answer.headers["x-request-id"]) == ("far", "far")
        assert (answer.headers["x-seen-trace"], answer.headers["traceparent"].split("-")[1]) == (trace, trace)


async def test_a_worker_calls_a_slice_of_another_node_through_its_gateway(
    pair: tuple[GatewayNode, GatewayNode],
) -> None:
    one, other = pair
    seen: list[CallContext] = []

    async def repeat(call: IncomingCall) -> bytes:
        seen.append(call.context)
        return call.payload

    await other.worker("w-1", repeat)
    row = InstanceRow("echo", "1.0.0", "n2", 1)
    await other.push(1, msgspec.structs.replace(row, worker="w-1"), peers=(one.peer,))
    await one.push(1, row, peers=(other.peer,))
    worker = await connect_unix(one.layout.socket("gateway"))
    context = CallContext.root(asyncio.get_running_loop().time() + 3)
    context.request_id = "r-9"
    assert await worker.call("echo/say", b"\x93\x01\x02\x03", context=context) == b"\x93\x01\x02\x03"
    assert (seen[0].request_id, seen[0].trace_id) == ("r-9", context.trace_id)
    assert seen[0].span_id != context.span_id, "each hop is a span of its own"
    assert abs(seen[0].deadline - context.deadline) < 1, "the deadline travels as what is left of it"
    with pytest.raises(NotStarted):
        await worker.call("nobody/say", b"\x90")
    await worker.close()


INLINE_SHOP = """
from runtime.sdk import current_call, get, post, slice_

@slice_(name="shop", version="1.0.0")
class Shop:
    def __init__(self, echo: Echo) -> None:
        self._echo = echo

    @get("/shop/{word}")
    async def price(self, word: str) -> str:
        print("asked for", word)
        return await self._echo.say(word)

    @post("/fail")
    async def fail(self) -> str:
        raise ValueError("secret")
"""
ECHO_INTERFACE = """
from typing import Protocol

class Echo(Protocol):
    async def say(self, word: str) -> str: ...
"""


async def test_an_inline_slice_answers_in_the_gateway_itself_and_calls_others(
    node: GatewayNode, tmp_path: Path
) -> None:
    async def first(call: IncomingCall) -> bytes:
        (word,) = msgspec.msgpack.decode(call.payload, type=tuple[str])
        return msgspec.msgpack.encode(word.upper())

    assert node.control is not None
    await node.worker("w-1", first)
    source = INLINE_SHOP.replace("@slice_", ECHO_INTERFACE + "\n@slice_", 1)
    host = RemoteInstanceHost(node.control)
    settings = InstanceSettings(slice="shop", number=3, version="1.0.0")
    contract = await host.load(write_artifact(tmp_path / "shop", source), settings)
    await host.activate("shop", 3)
    rows = (HERE, InstanceRow("shop", "1.0.0", "n1", 3, 100, "inline"))
    assert (await node.push(1, *rows, contracts=(ECHO, contract))).unreachable == ()
    answer = await ask(node.http, "GET", "/shop/tea")
    assert (answer.status, answer.body) == (200, b'"TEA"')
    failed = await ask(node.http, "POST", "/fail")
    assert failed.status == 500
    assert b"secret" not in failed.body
    await node.push(2, HERE)
    await host.deactivate("shop", 3, drain_ms=1_000)
    await host.unload("shop", 3)
    assert "shop" not in {instance.slice for instance in await host.instances()}
    node.terminate()
    assert node.process is not None
    assert await node.process.wait() == 0
    (printed,) = lines.find(node.layout.logs, lines.query_of({"event": "slice_printed"}))
    assert (printed["instance"], printed["line"], printed["node"]) == ("shop/3", "asked for tea", "n1")


async def test_a_worker_that_dies_fails_over_to_the_next(node: GatewayNode) -> None:
    """The method is idempotent, so a call whose worker vanished is repeated at the other."""
    began, dying = asyncio.Event(), asyncio.Event()

    async def hang(call: IncomingCall) -> bytes:
        began.set()
        await asyncio.Event().wait()
        return b""

    first = await node.worker("w-1", hang)
    await node.push(1, HERE)
    asking = asyncio.ensure_future(ask(node.http, "POST", "/say", b"x"))
    await began.wait()
    await node.worker("w-2", say)
    await node.push(2, HERE, InstanceRow("echo", "1.0.0", "n1", 2, 100, "w-2"))
    dying.set()
    await first.close()
    assert (await asking).body == b"x"
    assert (await ask(node.http, "POST", "/say", b"y")).body == b"y"


async def test_calls_in_progress_survive_the_removal_of_their_instance(node: GatewayNode) -> None:
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow(call: IncomingCall) -> bytes:
        began.set()
        await finish.wait()
        return await say(call)

    await node.worker("w-1", slow)
    await node.push(1, HERE)
    asking = asyncio.ensure_future(ask(node.http, "POST", "/say", b"late"))
    await began.wait()
    await node.push(2)
    assert (await ask(node.http, "POST", "/say", b"new")).status == 404
    finish.set()
    assert (await asking).body == b"late"


async def test_no_request_fails_while_tables_change_under_load(node: GatewayNode) -> None:
    for name in ("w-1", "w-2"):
        await node.worker(name, say)
    rows = {number: InstanceRow("echo", "1.0.0", "n1", number, 100, f"w-{number}") for number in (1, 2)}
    await node.push(1, rows[1])
    stop = asyncio.Event()

    async def load() -> list[int]:
        statuses = []
        while not stop.is_set():
            statuses.append((await ask(node.http, "POST", "/say", b"x")).status)
        return statuses

    loads = [asyncio.ensure_future(load()) for _ in range(4)]
    for revision in range(2, 32):
        wanted = [rows[1]] if revision % 3 == 0 else [rows[2]] if revision % 3 == 1 else list(rows.values())
        await node.push(revision, *wanted)
    stop.set()
    statuses = [status for done in await asyncio.gather(*loads) for status in done]
    assert set(statuses) == {200}
    assert len(statuses) > 30


async def test_two_versions_share_requests_by_weight(node: GatewayNode) -> None:
    counts = {"w-1": 0, "w-2": 0}

    def counting(name: str) -> object:
        async def answer(call: IncomingCall) -> bytes:
            counts[name] += 1
            return await say(call)

        return answer

    for name in counts:
        await node.worker(name, counting(name))  # type: ignore[arg-type]
    newer = msgspec.structs.replace(ECHO, version="1.1.0")
    rows = (
        InstanceRow("echo", "1.0.0", "n1", 1, 90, "w-1"),
        InstanceRow("echo", "1.1.0", "n1", 2, 10, "w-2"),
    )
    await node.push(1, *rows, contracts=(ECHO, newer))
    for _ in range(200):
        assert (await ask(node.http, "POST", "/say", b"x")).status == 200
    assert counts["w-1"] + counts["w-2"] == 200
    assert 2 <= counts["w-2"] <= 60


async def test_a_worker_that_is_not_there_is_named_in_the_reply(node: GatewayNode) -> None:
    applied = await node.push(1, HERE)
    assert applied.unreachable == (HERE,)
    answer = await ask(node.http, "POST", "/say", b"x", "x-deadline-ms: 300")
    assert answer.status == 503
    assert "retry-after" in answer.headers


async def test_bad_requests_of_control_are_refused_and_harm_nothing(node: GatewayNode) -> None:
    assert node.control is not None
    with pytest.raises(RemoteFault) as refused:
        await node.control.call("_gateway/table", b"\xc1")
    assert refused.value.code == "request_unreadable"
    await node.push(5)
    with pytest.raises(RemoteFault) as stale:
        await node.push(4)
    assert stale.value.code == "table_stale"
    assert await node.control.call(STATS) != b""


async def test_a_node_of_another_cluster_gets_no_connection(node: GatewayNode, tmp_path: Path) -> None:
    now_unix_ms = SystemClock().unix_ms()
    stranger = Authority.create(tmp_path / "other-ca", "c2", now_unix_ms=now_unix_ms)
    issue_node(stranger, tmp_path / "stranger", NodeId("n2"), now_unix_ms=now_unix_ms)
    with pytest.raises((PeerRefused, NotStarted)):
        await connect_tls("127.0.0.1", node.identity.listen.peer, client_context(tmp_path / "stranger"), None)


async def test_bytes_that_are_no_frames_end_that_connection_alone(node: GatewayNode) -> None:
    reader, writer = await asyncio.open_unix_connection(str(node.layout.socket("gateway")))
    writer.write(b"GET / HTTP/1.1\r\n\r\n" * 100)
    assert await reader.read() == b""
    writer.close()
    assert (await node.push(1)).revision == 1


async def test_a_term_signal_lets_requests_finish_and_ends_with_success(node: GatewayNode) -> None:
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow(call: IncomingCall) -> bytes:
        began.set()
        await finish.wait()
        return await say(call)

    await node.worker("w-1", slow)
    await node.push(1, HERE)
    asking = asyncio.ensure_future(ask(node.http, "POST", "/say", b"last"))
    await began.wait()
    node.terminate()
    async with asyncio.timeout(5):
        while await node.is_live():  # noqa: ASYNC110  until it listens no more
            await asyncio.sleep(0.01)
    finish.set()
    answer = await asking
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"last", "close")
    assert node.process is not None
    assert await asyncio.wait_for(node.process.wait(), 10) == 0
    assert not node.layout.socket("gateway").exists()


async def test_a_leaving_gateway_finishes_the_calls_of_its_peers(pair: tuple[GatewayNode, GatewayNode]) -> None:
    one, other = pair
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow(call: IncomingCall) -> bytes:
        began.set()
        await finish.wait()
        return await say(call)

    await other.worker("w-1", slow)
    row = InstanceRow("echo", "1.0.0", "n2", 1)
    await other.push(1, msgspec.structs.replace(row, worker="w-1"), peers=(one.peer,))
    await one.push(1, row, peers=(other.peer,))
    asking = asyncio.ensure_future(ask(one.http, "POST", "/say", b"far"))
    await began.wait()
    other.terminate()
    async with asyncio.timeout(5):
        while await other.is_live():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    refused = await ask(one.http, "POST", "/say", b"new", "x-deadline-ms: 200")
    assert refused.status == 503
    finish.set()
    assert (await asking).body == b"far"
    assert other.process is not None
    assert await asyncio.wait_for(other.process.wait(), 10) == 0


async def test_a_second_signal_ends_it_at_once(node: GatewayNode) -> None:
    began = asyncio.Event()

    async def hang(call: IncomingCall) -> bytes:
        began.set()
        await asyncio.Event().wait()
        return b""

    await node.worker("w-1", hang)
    await node.push(1, HERE)
    asking = asyncio.ensure_future(ask(node.http, "POST", "/say", b"x"))
    await began.wait()
    node.terminate()
    async with asyncio.timeout(5):
        while await node.is_live():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    node.terminate()
    assert node.process is not None
    assert await asyncio.wait_for(node.process.wait(), 2) != 0
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asking


async def test_a_drained_gateway_stays_for_its_peers_but_takes_nothing_new(node: GatewayNode) -> None:
    connection: Connection | None = node.control
    assert connection is not None
    raw = await connection.call(DRAIN, msgspec.msgpack.encode(DrainRequest(500)))
    assert msgspec.msgpack.decode(raw, type=DrainReply).finished
    assert not await node.is_live()
    assert node.process is not None
    assert node.process.returncode is None


async def test_a_taken_port_ends_it_with_a_sentence(tmp_path: Path) -> None:
    async with gateway_nodes(tmp_path, 1) as (node,):
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", node.http)
        process = await node.launch()
        _, said = await process.communicate()
        server.close()
        assert process.returncode == os.EX_UNAVAILABLE
        assert f"127.0.0.1:{node.http}" in said.decode()
        assert "Traceback" not in said.decode()


async def test_a_killed_gateway_starts_again_on_the_same_directory(node: GatewayNode) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGKILL)
    await node.process.communicate()
    await node.start()
    assert (await node.push(1)).revision == 1
