"""What travels between a store and its clients, and what a snapshot holds, reads back as it was."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.simulation.disk import SimulatedDisk
from runtime.consensus import commands as c
from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.client import StoreClient
from runtime.consensus.errors import AnswerUnreadable
from runtime.consensus.leases import Lease
from runtime.consensus.raft.membership import Peer
from runtime.consensus.raft.snapshot import OWN, Header, SnapshotWriter, read_any_snapshot
from runtime.consensus.sessions import Session
from runtime.consensus.state_blocks import StateBlock
from runtime.consensus.store import (
    GetResult,
    KeyValue,
    Leadership,
    RangeResult,
    Revision,
    TxnResult,
    WatchEvent,
)
from runtime.consensus.watch_parts import WatchPart, decode_part
from runtime.invocation.incoming import Handlers, IncomingCall
from runtime.invocation.listener import connect_unix, serve_unix

numbers = st.integers(0, 2**63 - 1)
text = st.text(max_size=12)
raws = st.binary(max_size=20)
items = st.builds(
    KeyValue, key=text, value=raws, create_revision=numbers, mod_revision=numbers, version=numbers, lease=numbers
)
events = st.builds(WatchEvent, kind=st.sampled_from(("put", "delete")), item=items)
gets = st.lists(st.none() | items, max_size=3).map(tuple)
txns = st.builds(TxnResult, succeeded=st.booleans(), revision=numbers, gets=gets)
applied = st.builds(c.Applied, txn=st.none() | txns, lease=numbers, session=numbers)
results = applied | st.builds(c.Failed, text, text)
addresses = st.dictionaries(text, text, max_size=3)

MESSAGES: dict[str, tuple[st.SearchStrategy[object], Callable[[bytes], object]]] = {
    "get": (st.builds(w.GetRequest, text, st.booleans(), numbers), w.decode_get),
    "range": (st.builds(w.RangeRequest, text, text, numbers, st.booleans(), numbers), w.decode_range),
    "watch": (st.builds(w.WatchRequest, st.lists(text, max_size=3).map(tuple), numbers), w.decode_watch),
    "member": (st.builds(w.MemberRequest, text, text, st.booleans()), w.decode_member),
    "members": (st.builds(w.Members, addresses), w.decode_members),
    "got": (st.builds(GetResult, item=st.none() | items, revision=numbers, stale=st.booleans()), w.decode_got),
    "page": (
        st.builds(
            RangeResult,
            items=st.lists(items, max_size=3).map(tuple),
            revision=numbers,
            more=st.booleans(),
            stale=st.booleans(),
        ),
        w.decode_page,
    ),
    "batch": (
        st.builds(WatchPart, revision=numbers, events=st.lists(events, max_size=3).map(tuple), more=st.booleans()),
        decode_part,
    ),
    "leadership": (st.builds(Leadership, leader=text, fence=numbers), w.decode_leadership),
    "applied": (applied, w.decode_applied),
    "digest request": (st.builds(ow.DigestRequest, text), ow.decode_digest_request),
    "snapshot request": (st.builds(ow.SnapshotRequest, numbers), ow.decode_snapshot_request),
    "snapshot begins": (st.builds(ow.SnapshotBegins, text, numbers), ow.decode_snapshot_begins),
}


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=25)
@given(st.data())
def test_a_message_reads_back(name: str, data: st.DataObject) -> None:
    strategy, decode = MESSAGES[name]
    message = data.draw(strategy)
    assert decode(w.encode(message)) == message


NOT_UTF8 = msgspec.msgpack.encode([msgspec.Raw(b"\xa2\xff\xfe")] * 3)


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_no_utf8_is_the_decoders_own_error(name: str) -> None:
    """Anything else would end the task of a connection without a word of what came."""
    for raw in (NOT_UTF8, b"\x83" + b"\xa2\xff\xfe\x01" * 3, b"\x91" * 100_000):
        with pytest.raises(msgspec.DecodeError):
            MESSAGES[name][1](raw)


@pytest.mark.anyio
async def test_a_client_says_that_an_answer_cannot_be_read(tmp_path: Path) -> None:
    """In the store's own error, which whoever follows the store knows to handle."""

    async def answer(_call: IncomingCall) -> bytes:
        return NOT_UTF8

    async def stream(_call: IncomingCall) -> AsyncIterator[bytes]:
        yield NOT_UTF8

    handlers = Handlers(unary=dict.fromkeys((w.GET, w.RANGE, w.COMMAND, w.STATUS, w.MEMBERS, ow.FIGURES), answer))
    handlers.streams[w.WATCH] = stream
    listener = await serve_unix(tmp_path / "s.sock", handlers)
    client = StoreClient(lambda: connect_unix(tmp_path / "s.sock"))
    calls: list[Awaitable[object]] = [
        client.get("a"),
        client.range("a"),
        client.grant(1_000),
        client.status(),
        client.members(),
    ]
    calls += [client.status(), client.members(), client.figures(), anext(client.watch("a", from_revision=Revision(1)))]
    for call in calls:
        with pytest.raises(AnswerUnreadable):
            await call
    await client.close()
    await listener.close()


leases = st.dictionaries(
    numbers, st.builds(Lease, numbers, numbers, st.sets(text, max_size=3), st.booleans()), max_size=3
)
sessions = st.lists(
    st.tuples(numbers, st.builds(Session, numbers, st.dictionaries(numbers, results, max_size=3))), max_size=3
)
blocks = st.builds(
    StateBlock,
    revision=numbers,
    items=st.lists(items, max_size=3),
    leases=leases,
    next_lease=numbers,
    sessions=sessions,
    next_session=numbers,
)
headers = st.builds(
    Header,
    cluster=text,
    index=numbers,
    term=numbers,
    members=st.dictionaries(text, st.builds(Peer, text, st.booleans(), st.booleans()), max_size=3),
)


@settings(max_examples=40)
@given(headers, st.lists(blocks, min_size=1, max_size=3))
def test_a_snapshot_reads_back_block_by_block(header: Header, state: list[StateBlock]) -> None:
    disk = SimulatedDisk(random.Random(0))
    writer = SnapshotWriter(disk, header, iter(state))
    while writer.step():
        pass
    assert read_any_snapshot(disk.read(OWN)) == (header, state)
