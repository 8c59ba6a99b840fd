"""The load generator against small servers of this process: sends on time, never twice, and names every failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.forge.http_client import HttpClient
from evals.forge.load.generator import LoadGenerator, Target
from evals.forge.load.profile import Profile, ProfileInvalid
from evals.forge.load.scenario import Mix, Request

pytestmark = pytest.mark.anyio

ASK = Mix((Request(name="ask", method="POST", path="/ask", body=b"{}"),))
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """A server that gives each request's first line to `answer`."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                await answer(head.split(b"\r\n")[0], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await server.wait_closed()


async def ok(line: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def free_address() -> str:
    async with serving(ok) as address:
        return address


async def test_requests_go_out_at_the_rate_asked_for_and_over_all_gateways() -> None:
    async with serving(ok) as one, serving(ok) as two:
        load = LoadGenerator([Target("n1", one), Target("n2", two)], ASK, Profile(rps=200))
        report = await load.run(0.2)
    assert report.sent == report.succeeded == 40
    assert report.by_node == {"n1": 20, "n2": 20}
    assert report.latency_us.count == 40


async def test_a_gateway_that_refuses_costs_no_request() -> None:
    """Nothing was sent to it, so the request may go elsewhere."""
    async with serving(ok) as one:
        load = LoadGenerator([Target("n1", one), Target("n2", await free_address())], ASK, Profile(rps=200))
        report = await load.run(0.1)
    assert (report.failed, report.by_node["n1"]) == (0, 20)
    assert report.reconnects > 0


async def test_a_request_that_left_is_never_sent_again() -> None:
    seen = 0

    async def hang_up(line: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.transport.abort()

    async with serving(hang_up) as one:
        report = await LoadGenerator([Target("n1", one)], ASK, Profile(rps=100)).run(0.1)
    assert (seen, report.sent, report.failed) == (10, 10, 10)
    assert all(failure.sent and failure.cause.startswith("connection_") for failure in report.failures)


async def test_a_failure_carries_the_problem_s_code() -> None:
    async def refuse(line: bytes, writer: asyncio.StreamWriter) -> None:
        body = b'{"code": "no_instance", "detail": "nobody serves it"}'
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with serving(refuse) as one:
        report = await LoadGenerator([Target("n1", one)], ASK, Profile(rps=100)).run(0.05)
    assert report.causes == {"http_503 no_instance": 5}
    assert report.failures[0].detail == "nobody serves it"


async def test_latency_counts_from_the_time_a_request_was_due() -> None:
    """A server that stalls is charged for the requests that had to wait, not only for those on the wire."""
    stalled = asyncio.Event()

    async def stall(line: bytes, writer: asyncio.StreamWriter) -> None:
        await stalled.wait()
        await ok(line, writer)

    async with serving(stall) as one:
        load = LoadGenerator([Target("n1", one)], ASK, Profile(rps=100))
        asyncio.get_running_loop().call_later(0.15, stalled.set)
        report = await load.run(0.1)
    assert report.succeeded == 10
    assert report.latency_us.percentile(1.0) > 140_000


async def test_a_client_says_whether_a_request_had_left() -> None:
    from evals.forge.errors import ApiUnreachable

    with pytest.raises(ApiUnreachable) as refused:
        await HttpClient(await free_address()).request("GET", "/")
    assert (refused.value.sent, refused.value.cause) == (False, "connection_refused")


@given(
    shape=st.sampled_from(("constant", "ramp", "spike")),
    rps=st.floats(1, 50_000),
    share=st.floats(0.001, 1),
    at_s=st.floats(0, 1e6),
)
def test_a_profile_stays_between_its_bounds(shape: str, rps: float, share: float, at_s: float) -> None:
    floor = max(rps * share, 1e-3)
    profile = Profile(shape=shape, rps=rps, floor_rps=floor)
    assert floor - 1e-9 <= profile.rate(at_s) <= rps + 1e-9


@pytest.mark.parametrize(
    "wrong", [{"shape": "saw"}, {"rps": 0.0}, {"rps": float("nan")}, {"rps": 1.0, "floor_rps": 2.0}]
)
def test_a_profile_without_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ProfileInvalid):
        Profile(**wrong)  # type: ignore[arg-type]  # wrong on purpose
