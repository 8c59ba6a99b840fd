"""What comes to a store from where it should not, or as it should not: it is refused, told, and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.cluster.restoring import restore
from runtime.consensus import commands as c
from runtime.consensus import wire as w
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import StoreUnavailable
from runtime.consensus.hello import HELLO, STORE_PROTOCOL, Hello, greeting
from runtime.consensus.operator import Operator, differing
from runtime.consensus.raft import messages as m
from runtime.consensus.raft.protocol import PROTOCOL
from runtime.consensus.raft.replica import Timing
from runtime.consensus.store import Put
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import connect_tls, connect_unix, serve_tls, serve_unix
from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node
from runtime.security.tls import client_context, server_context
from tests.consensus.store_group import NODES, StoreGroup, running
from tests.consensus.test_store_operating import told

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
NOISE = b"\xff" + random.Random(4_096).randbytes(4_095)  # as a length, more than a frame may have
HUGE = struct.pack(">IBBI", 0x7FFF_FFFF, 1, 0, 1)


async def call_as(group: StoreGroup, tls: Path, node: str) -> Connection:
    host, _, port = group.addresses[node].rpartition(":")
    return await connect_tls(host, int(port), client_context(tls), node)


async def still_well(group: StoreGroup, key: str) -> None:
    assert (await group.client("n1").txn([], [Put(key=key, value=b"1")])).succeeded
    operator = Operator(group.layout("n1"), group.identity("n1"))

    async def all_answer() -> bool:
        """One may have only just started."""
        digests = await operator.check()
        assert differing(digests) == []
        return all(each.digest is not None for each in digests)

    await group.until(all_answer)
    await operator.close()


async def test_a_certificate_of_another_authority_gets_nothing(group: StoreGroup, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    issue_node(
        Authority.create(tmp_path / "other", "x", now_unix_ms=now_ms),
        tmp_path / "tls",
        NodeId("n2"),
        now_unix_ms=now_ms,
    )
    await group.client("n1").txn([], [Put(key="k", value=b"1")])
    with pytest.raises(CallFault):
        connection = await call_as(group, tmp_path / "tls", "n1")
        await connection.call(w.STATUS)
    await still_well(group, "k")


async def test_a_member_at_whose_address_somebody_else_answers_is_refused_and_told(tmp_path: Path) -> None:
    async with running(tmp_path) as group:
        await group.leader()
        group.kill("n3")
        group.make("n9")
        host, _, port = group.addresses["n3"].rpartition(":")
        impostor = await serve_tls(host, int(port), server_context(group.layout("n9").tls), Handlers())
        said = await group.until_noted("n1", "member_refused")
        assert "is node 'n9', not 'n3'" in str(said["error"])
        await impostor.close()
        assert (await group.client("n1").txn([], [Put(key="k", value=b"1")])).succeeded


async def test_who_is_no_member_has_no_say(group: StoreGroup) -> None:
    """A node of the cluster that is no member asks for votes in a far later term."""
    leader = await group.leader()
    term = (await group.client("n1").status()).term
    group.make("n9")
    connection = await call_as(group, group.layout("n9").tls, "n1")
    for message in (m.RequestVote(1_000, 1_000, 1_000, True), m.Append(1_000, 1, 0, [], 5), m.TimeoutNow(1_000)):
        connection.notify(w.RAFT, m.encode(message))
    await connection.ping()
    assert (await group.until_noted("n1", "stranger_ignored"))["node"] == "n9"
    await connection.close()
    await still_well(group, "k")
    status = await group.client("n1").status()
    assert (status.term, status.leader) == (term, leader)


@pytest.mark.parametrize(("version", "sender"), [(PROTOCOL - 1, "n2"), (PROTOCOL + 1, "n3")])
async def test_messages_of_another_version_are_dropped_and_told_once(
    group: StoreGroup, version: int, sender: str
) -> None:
    leader = await group.leader()
    connection = await call_as(group, group.layout(sender).tls, "n1")
    for _ in range(3):
        connection.notify(w.RAFT, bytes((version,)) + m.encode(m.RequestVote(1_000, 1_000, 1_000, True))[1:])
    connection.notify(w.RAFT, m.encode(m.TimeoutNow(1))[:1] + b"\xc1" * 40)
    await connection.ping()
    said = await group.until_noted("n1", "message_unreadable", member=sender)
    assert f"speaks raft protocol {version}, this member speaks {PROTOCOL}" in str(said["error"])
    await connection.close()
    await still_well(group, "k")
    assert len(group.noted("n1", "message_unreadable", member=sender)) == 1
    assert await group.leader() == leader


async def test_bytes_that_are_no_frames_end_their_connection_alone(group: StoreGroup) -> None:
    await group.leader()
    host, _, port = group.addresses["n1"].rpartition(":")
    for garbage in (NOISE, HUGE, HUGE[:4], b"GET / HTTP/1.1\r\n\r\n"):
        opened = [
            await asyncio.open_connection(
                host, int(port), ssl=client_context(group.layout("n2").tls), server_hostname=""
            ),
            await asyncio.open_unix_connection(str(group.layout("n1").socket("store"))),
        ]
        for reader, writer in opened:
            writer.write(garbage)
            writer.write_eof() if writer.can_write_eof() else None
            with (
                contextlib.suppress(ConnectionError, ssl.SSLError),
                anyio.move_on_after(0 if garbage == HUGE[:4] else 20) as waited,
            ):
                assert await reader.read() == b""
            assert garbage == HUGE[:4] or not waited.cancelled_caught
            writer.close()
    await still_well(group, "k")


async def test_a_request_that_cannot_be_read_is_refused_by_name(group: StoreGroup) -> None:
    await group.client("n1").txn([], [Put(key="k", value=b"0")])  # so that it can reach the leader
    connection = await connect_unix(group.layout("n1").socket("store"))
    for target in (w.GET, w.RANGE, w.COMMAND, w.ADD_MEMBER, w.REMOVE_MEMBER, "store/digest"):
        with pytest.raises(CallFault) as caught:
            await connection.call(target, b"\xc1")
        assert caught.value.code == "invalid_request"
        assert target in str(caught.value)
    await connection.close()
    await still_well(group, "k")


async def test_a_replayed_command_is_answered_again_and_applied_once(group: StoreGroup) -> None:
    for node in NODES:  # so that each can reach the leader
        await group.client(node).txn([], [Put(key="k", value=b"0")])
    connection = await connect_unix(group.layout("n1").socket("store"))
    opened = await connection.call(w.COMMAND, c.encode(c.Envelope(c.OpenSession())))
    session = msgspec.msgpack.decode(opened, type=c.Applied).session
    command = c.encode(c.Envelope(c.Txn((), (Put(key="once", value=b"1"),)), session, 1))
    answers = [await connection.call(w.COMMAND, command) for _ in range(4)]
    assert len(set(answers)) == 1
    await connection.close()
    over_tls = await call_as(group, group.layout("n2").tls, "n3")
    assert await over_tls.call(w.COMMAND, command) == answers[0]
    await over_tls.close()
    found = (await group.client("n2").get("once")).item
    assert found is not None
    assert found.version == 1


async def test_replayed_messages_of_an_earlier_term_change_nothing(group: StoreGroup) -> None:
    first = await group.leader()
    await group.client("n1").txn([], [Put(key="k", value=b"1")])
    heir = await group.follower()
    await told(group, "transfer", heir)
    assert await group.leader() == heir != first
    target = next(node for node in NODES if node not in (first, heir))
    connection = await call_as(group, group.layout(first).tls, target)
    poison = (b"\x00" + c.encode(c.Envelope(c.Txn((), (Put(key="poison", value=b""),)))), 3, 1)
    for message in (
        m.Append(1, 2, 1, [poison], 3),
        m.RequestVote(1, 99, 1),
        m.Install(1, 50, 0, b"AETHERS1", True),
    ):
        connection.notify(w.RAFT, m.encode(message))
    await connection.ping()
    await connection.close()
    await still_well(group, "k")
    assert (await group.client(target).get("poison")).item is None


async def _greeted_by(path: Path, hello: bytes) -> AsyncIterator[StoreClient]:
    handlers = Handlers()

    async def say(_call: IncomingCall) -> bytes:
        return hello

    handlers.unary[HELLO] = say
    listener = await serve_unix(path, handlers)
    client = StoreClient(greeting(lambda: connect_unix(path)), deadline_s=0.5)
    try:
        yield client
    finally:
        await client.close()
        await listener.close()


@pytest.mark.parametrize("version", [STORE_PROTOCOL - 1, STORE_PROTOCOL + 1])
async def test_a_store_of_another_protocol_version_is_not_talked_to(tmp_path: Path, version: int) -> None:
    hello = Hello(store_protocol=version, raft_protocol=PROTOCOL, cluster="test", node="n1")
    async with contextlib.asynccontextmanager(_greeted_by)(tmp_path / "s", msgspec.msgpack.encode(hello)) as client:
        with pytest.raises(StoreUnavailable, match=f"n1 speaks store protocol {version}, this process"):
            await client.get("k")
    async with contextlib.asynccontextmanager(_greeted_by)(tmp_path / "s", b"\xc1") as client:
        with pytest.raises(StoreUnavailable, match="greeting cannot be read"):
            await client.get("k")


async def test_a_restored_group_and_what_is_left_of_the_old_one_never_mix(tmp_path: Path) -> None:
    """Same certificates, same node ids: only the cluster's id, new with each restore, tells them apart."""
    backup = tmp_path / "backup"
    async with running(tmp_path / "nodes") as group:
        await group.client("n1").txn([], [Put(key="k", value=b"before")])
        await told(group, "snapshot", "save", backup, node="n2")
        group.kill("n1")
        await group.client("n2").txn([], [Put(key="old", value=b"1")])
        layout = group.layout("n1")
        layout.store.rename(tmp_path / "moved")
        await anyio.to_thread.run_sync(restore, backup, [layout.data])
        group.start("n1")
        await group.clients.pop("n1").close()  # its session is forgotten
        await group.client("n1").txn([], [Put(key="new", value=b"1")])
        await group.client("n1").add_member("n2", group.addresses["n2"], rises=False)
        said = await group.until_noted("n1", "member_refused")
        assert "belongs to cluster test, not to" in str(said["error"])
        assert (await group.client("n2").get("new")).item is None
        assert (await group.client("n1").get("old")).item is None
        assert (await group.client("n1").get("k")).item is not None


async def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path) -> None:
    """Leases, elections and reads count what passes, whatever the wall clock says."""
    stamp = tmp_path / "clock"
    stamp.write_text("+0")
    clock = ["env", "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", f"FAKETIME_TIMESTAMP_FILE={stamp}"]
    clock.append(f"LD_PRELOAD={faketime_library()}")
    group = StoreGroup(tmp_path / "nodes")
    group.start(*NODES, before=clock)
    try:
        client = group.client("n1")
        kept, left = await client.grant(20_000), await client.grant(1_000)
        await client.txn([], [Put(key="kept", value=b"", lease=kept), Put(key="left", value=b"", lease=left)])
        term = (await client.status()).term
        for shift in ("-45m", "+45m", "-30m"):
            stamp.write_text(shift)
            told_s = float(await said_by(*clock, "date", "+%s"))
            assert abs(told_s - time.time()) > 1_500
            await client.keep_alive(kept)
            await client.txn([], [Put(key=shift, value=b"")])
        while (await client.get("left")).item is not None:
            await client.keep_alive(kept)
        assert (await client.get("kept")).item is not None
        if (await client.status()).term != term:  # a busy machine costs an election now and then, but not each time
            for shift in ("-45m", "+45m", "-30m", "+10m", "-20m"):
                if not await elections_of(client, stamp, shift):
                    break
            else:
                raise AssertionError("each change of the clock cost an election")
    finally:
        await group.close()


async def elections_of(client: StoreClient, stamp: Path, shift: str) -> int:
    """How many there were around that change of the clock, for as long as an election may take to begin."""
    before = (await client.status()).term
    stamp.write_text(shift)
    until_s = time.monotonic() + 2 * Timing().election_max
    while time.monotonic() < until_s:
        await client.txn([], [Put(key="beat", value=b"")])
    return (await client.status()).term - before


async def said_by(*command: str) -> str:
    return (await anyio.run_process(command)).stdout.decode()


def faketime_library() -> Path:
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
